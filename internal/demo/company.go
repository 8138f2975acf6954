// Package demo invents a company, Harbour & Finch, a maker of accounting
// software, and the audit events of its working days: people read and change
// documents, jobs run at night, somebody mistypes a password, somebody tries
// what they may not do. The same seed gives the same days.
package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/daybook-log/daybook/event"
)

type person struct {
	id, name, ip, agent string
	does                []deed
}

// deed is something a person does, the likelier the greater its weight.
type deed struct {
	action, operation, kind string
	weight                  int
}

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
	safari  = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15"
	curl    = "curl/8.9.1"
)

var (
	bookkeeping = []deed{
		{"invoice.read", "read", "invoice", 30}, {"invoice.create", "create", "invoice", 10},
		{"invoice.update", "update", "invoice", 12}, {"invoice.approve", "update", "invoice", 5},
		{"report.export", "read", "report", 3}, {"invoice.delete", "delete", "invoice", 1},
	}
	engineering = []deed{
		{"repository.push", "update", "repository", 14}, {"deployment.create", "create", "deployment", 4},
		{"secret.read", "read", "secret", 3}, {"pipeline.run", "create", "pipeline", 9},
		{"database.query", "read", "database", 6},
	}
	support = []deed{
		{"customer.read", "read", "customer", 25}, {"ticket.update", "update", "ticket", 20},
		{"customer.impersonate", "login", "customer", 2}, {"customer.export", "read", "customer", 1},
	}
	administering = []deed{
		{"member.invite", "create", "member", 2}, {"role.update", "update", "role", 2},
		{"api_key.create", "create", "api_key", 1}, {"api_key.revoke", "delete", "api_key", 1},
		{"settings.update", "update", "settings", 2}, {"audit_log.export", "read", "audit_log", 1},
	}
)

var staff = []person{
	{"amara.okafor", "Amara Okafor", "10.20.1.11", firefox, bookkeeping},
	{"bela.kovacs", "Béla Kovács", "10.20.1.12", safari, bookkeeping},
	{"chen.wei", "陈伟", "10.20.1.13", firefox, bookkeeping},
	{"dora.lindqvist", "Dora Lindqvist", "10.20.2.21", firefox, engineering},
	{"emre.yilmaz", "Emre Yılmaz", "10.20.2.22", curl, engineering},
	{"farah.haddad", "Farah Haddad", "10.20.2.23", safari, engineering},
	{"grace.mwangi", "Grace Mwangi", "10.20.3.31", safari, support},
	{"hugo.santos", "Hugo Santos", "2001:db8:20:3::32", firefox, support},
	{"ines.moreau", "Inès Moreau", "10.20.4.41", safari, administering},
}

var robots = []struct{ id, action, operation, kind string }{
	{"nightly-backup", "backup.create", "create", "backup"},
	{"invoice-mailer", "invoice.send", "read", "invoice"},
	{"deploy-bot", "deployment.create", "create", "deployment"},
}

// Company publishes the events of Harbour & Finch. It is used by one goroutine.
type Company struct {
	rnd *rand.Rand
	ids event.IDSource
}

// NewCompany returns the company of a seed.
func NewCompany(seed uint64) *Company { return &Company{rnd: rand.New(rand.NewPCG(seed, 7))} }

// doc is an event as it is sent.
type doc map[string]any

// Busy says how much goes on at a time of day, from 0 to 1: little at night and
// at weekends.
func Busy(t time.Time) float64 {
	hour := float64(t.Hour()) + float64(t.Minute())/60
	busy := 0.08
	if hour > 7 && hour < 19 {
		busy = 1 - (hour-13)*(hour-13)/36*0.7
	}
	if day := t.Weekday(); day == time.Saturday || day == time.Sunday {
		busy *= 0.2
	}
	return busy
}

// Next returns what happens next, at t: one event, or a few that belong together.
func (c *Company) Next(t time.Time) [][]byte {
	switch p := c.rnd.IntN(1000); {
	case p < 6:
		return c.mistypedPassword(t)
	case p < 8:
		return c.stranger(t)
	case p < 120:
		return c.robot(t)
	case p < 150:
		return c.encode(c.login(t, staff[c.rnd.IntN(len(staff))], "success"))
	}
	return c.work(t, staff[c.rnd.IntN(len(staff))])
}

func (c *Company) base(t time.Time, user, action, operation, resource string) doc {
	return doc{
		"timestamp": t.UTC().Format(time.RFC3339Nano), "tenant_id": "harbour-finch",
		"user_id": user, "action": action, "operation": operation, "resource": resource, "outcome": "success",
		"request_id": fmt.Sprintf("req-%08x", c.rnd.Uint32()), "labels": doc{"env": "prod", "region": "eu-west-1"},
	}
}

func (c *Company) by(d doc, p person) doc {
	d["user_name"], d["source_ip"], d["user_agent"], d["source"] = p.name, p.ip, p.agent, "web"
	d["session_id"] = "s-" + p.id
	return d
}

func (c *Company) work(t time.Time, p person) [][]byte {
	total := 0
	for _, x := range p.does {
		total += x.weight
	}
	pick, does := c.rnd.IntN(total), p.does[0]
	for _, x := range p.does {
		if pick -= x.weight; pick < 0 {
			does = x
			break
		}
	}
	number := 100 + c.rnd.IntN(400)
	d := c.by(c.base(t, p.id, does.action, does.operation, fmt.Sprintf("%s/%d", does.kind, number)), p)
	d["metadata"] = doc{"duration_ms": 3 + c.rnd.IntN(300), "http": doc{"status": 200}}
	switch {
	case does.action == "invoice.update":
		cents := int64(c.rnd.IntN(900_000))
		d["changes"] = []doc{{"path": "amount", "old": float64(cents) / 100, "new": float64(cents+int64(c.rnd.IntN(5000))) / 100}}
	case does.action == "role.update":
		d["changes"] = []doc{{"path": "permissions", "old": []string{"read"}, "new": []string{"read", "write"}}}
	case does.action == "customer.impersonate":
		d["on_behalf_of"] = fmt.Sprintf("customer-%d", number)
		d["reason"] = fmt.Sprintf("ticket/%d: cannot see last month's invoices", 1000+number)
	}
	if c.rnd.IntN(40) == 0 {
		d["outcome"], d["error_code"], d["reason"] = "denied", "forbidden", "the role "+p.id+" holds does not allow "+does.action
	} else if c.rnd.IntN(50) == 0 {
		d["outcome"], d["error_code"], d["reason"] = "failure", "timeout", "upstream answered after 30 s"
	}
	return c.encode(d)
}

func (c *Company) login(t time.Time, p person, outcome string) doc {
	d := c.by(c.base(t, p.id, "user.login", "login", "user/"+p.id), p)
	d["outcome"], d["source"] = outcome, "sign-in"
	if outcome != "success" {
		d["error_code"], d["reason"] = "bad_password", "the password does not match"
	}
	return d
}

// mistypedPassword is one or two failures and then the right one.
func (c *Company) mistypedPassword(t time.Time) [][]byte {
	p := staff[c.rnd.IntN(len(staff))]
	var all []doc
	for i := range 1 + c.rnd.IntN(2) {
		all = append(all, c.login(t.Add(time.Duration(i*4)*time.Second), p, "failure"))
	}
	return c.encode(append(all, c.login(t.Add(12*time.Second), p, "success"))...)
}

// stranger is somebody outside who tries many accounts in a row.
func (c *Company) stranger(t time.Time) [][]byte {
	ip := fmt.Sprintf("203.0.113.%d", 1+c.rnd.IntN(250))
	var all []doc
	for i, p := range staff {
		d := c.login(t.Add(time.Duration(i)*time.Second), p, "failure")
		d["source_ip"], d["user_agent"] = ip, curl
		delete(d, "session_id")
		all = append(all, d)
	}
	return c.encode(all...)
}

func (c *Company) robot(t time.Time) [][]byte {
	r := robots[c.rnd.IntN(len(robots))]
	d := c.base(t, r.id, r.action, r.operation, fmt.Sprintf("%s/%d", r.kind, 100+c.rnd.IntN(400)))
	d["user_type"], d["source"] = "service", "scheduler"
	return c.encode(d)
}

// encode writes events as JSON, each with an identity, so that publishing again
// after a failure stores nothing twice.
func (c *Company) encode(ds ...doc) [][]byte {
	out := make([][]byte, 0, len(ds))
	for _, d := range ds {
		d["event_id"] = c.ids.New(time.Now()).String()
		line, err := json.Marshal(d)
		if err != nil {
			panic(err) // a map of strings, numbers and maps of these always encodes
		}
		out = append(out, line)
	}
	return out
}
