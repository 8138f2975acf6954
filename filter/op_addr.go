package filter

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// An event keeps an IPv4 address that is mapped into IPv6 as it was sent,
// ::ffff:10.1.2.3. For a filter it is the IPv4 address, however either is
// written.

// mapped is how the text of such an address begins.
const mapped = "::ffff:"

// compileAddr makes the operand of a source_ip: an address, a network, a range,
// or a pattern over the address as text.
func compileAddr(v value) (operand, *fault) {
	if v.one == nil {
		return compileAddrRange(v)
	}
	if v.one.parts != nil {
		return addrPattern{pattern{v.one.parts}}, nil
	}
	if strings.IndexByte(v.one.text, '/') < 0 {
		addr, f := parseAddr(v.one)
		if f != nil {
			return nil, f
		}
		return newAddress(addr), nil
	}
	p, err := netip.ParsePrefix(v.one.text)
	if err != nil {
		return nil, v.one.fault(addrWanted)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.IsSingleIP() {
		return newAddress(p.Addr()), nil
	}
	return network{p.Masked()}, nil
}

const addrWanted = "source_ip takes an address (10.1.2.3, 2001:db8::1), a network (10.0.0.0/8, 2001:db8::/32), a range of addresses, or a pattern (10.1.*)"

// parseAddr parses an address and unmaps it.
func parseAddr(l *literal) (netip.Addr, *fault) {
	addr, err := netip.ParseAddr(l.text)
	if err != nil {
		return addr, l.fault(addrWanted)
	}
	return addr.Unmap(), nil
}

// storedAddr parses an event's address for comparison with networks, which
// have no zone, and unmaps it.
func storedAddr(s string) netip.Addr {
	addr, _ := netip.ParseAddr(s) // the zero Addr lies in no network and no range
	if addr.Zone() != "" {
		addr = addr.WithZone("")
	}
	return addr.Unmap()
}

// address matches one address.
type address struct{ text, mapped string } // mapped: of an IPv4 address, else ""

func newAddress(addr netip.Addr) address {
	a := address{text: addr.String()}
	if addr.Is4() {
		a.mapped = mapped + a.text
	}
	return a
}

func (a address) append(b []byte, at place) []byte { return appendLiteral(b, a.text, at) }
func (a address) match(v scalar) bool              { return v.text == a.text || v.text == a.mapped }

func (a address) texts() []string {
	if a.mapped == "" {
		return []string{a.text}
	}
	return []string{a.text, a.mapped}
}

func (a address) prefix() string    { return commonPrefix(a.text, cmp.Or(a.mapped, a.text)) }
func (a address) substring() string { return a.text }

// addrPattern is a pattern over addresses as text.
type addrPattern struct{ pattern }

func (p addrPattern) match(v scalar) bool {
	if p.pattern.match(v) {
		return true
	}
	ipv4, ok := strings.CutPrefix(v.text, mapped)
	return ok && strings.IndexByte(ipv4, '.') >= 0 && p.pattern.match(scalar{text: ipv4})
}

func (p addrPattern) prefix() string {
	if first := p.pattern.prefix(); strings.IndexByte(first, ':') >= 0 {
		return first // no IPv4 address, so no mapped one either
	}
	return ""
}

// network matches the addresses of a network of more than one address.
type network struct{ netip.Prefix }

func (n network) append(b []byte, at place) []byte {
	return appendLiteral(b, n.Prefix.String(), at)
}

func (n network) match(v scalar) bool { return n.Contains(storedAddr(v.text)) }
func (n network) texts() []string     { return nil }

// prefix: a mapped address begins otherwise, and the text of an IPv6 address is
// shortened in ways that leave nothing in common.
func (n network) prefix() string { return "" }

// substring returns the octets of an IPv4 network that its bits fix as a whole.
func (n network) substring() string {
	if !n.Addr().Is4() {
		return ""
	}
	s, end := n.Addr().String(), 0
	for range n.Bits() / 8 {
		end += strings.IndexByte(s[end:], '.') + 1
	}
	return s[:end]
}

// addrRange matches the addresses of one family from lo to hi.
type addrRange struct{ lo, hi netip.Addr }

// addrBound returns the end of a range, moved inwards by next if it is exclusive.
func addrBound(b bound, next func(netip.Addr) netip.Addr) (netip.Addr, *fault) {
	if b.literal == nil {
		return netip.Addr{}, nil
	}
	addr, f := parseAddr(b.literal)
	if f != nil {
		return addr, f
	}
	if addr = addr.WithZone(""); b.exclusive {
		if addr = next(addr); !addr.IsValid() {
			return addr, b.fault("no address lies beyond this one")
		}
	}
	return addr, nil
}

func compileAddrRange(v value) (operand, *fault) {
	lo, f := addrBound(v.lo, netip.Addr.Next)
	if f != nil {
		return nil, f
	}
	hi, f := addrBound(v.hi, netip.Addr.Prev)
	if f != nil {
		return nil, f
	}
	switch {
	case v.lo.literal == nil:
		lo = netip.PrefixFrom(hi, 0).Masked().Addr()
	case v.hi.literal == nil:
		hi = lastAddr(lo)
	case lo.BitLen() != hi.BitLen():
		return nil, v.hi.fault("both ends of a range are of one family, IPv4 or IPv6")
	case hi.Less(lo):
		return nil, v.lo.fault(fmt.Sprintf("the range is empty: %s lies after %s", lo, hi))
	}
	if lo == hi {
		return newAddress(lo), nil
	}
	return addrRange{lo, hi}, nil
}

// lastAddr returns the highest address of addr's family.
func lastAddr(addr netip.Addr) netip.Addr {
	last := make([]byte, addr.BitLen()/8)
	for i := range last {
		last[i] = 0xff
	}
	addr, _ = netip.AddrFromSlice(last)
	return addr
}

func (r addrRange) append(b []byte, at place) []byte {
	b = append(appendLiteral(b, r.lo.String(), at), ".."...)
	return appendLiteral(b, r.hi.String(), at)
}

func (r addrRange) match(v scalar) bool {
	addr := storedAddr(v.text)
	return addr.BitLen() == r.lo.BitLen() && !addr.Less(r.lo) && !r.hi.Less(addr)
}

func (r addrRange) texts() []string   { return nil }
func (r addrRange) substring() string { return "" }
func (r addrRange) prefix() string    { return "" }
