package settings

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// checkStream finds settings of stream and roles that contradict one another.
func (s *Settings) checkStream() (errs []error) {
	k := &s.Kafka
	embedded := s.Stream == Embedded
	if strings.Contains(s.Stream, "@") { // its value may hold a password, and messages and --print-config would show it
		return []error{errors.New("stream.url has an @; it names brokers only: a user goes into kafka.user and a password into the file kafka.password_file")}
	}
	if !embedded && !strings.HasPrefix(s.Stream, "kafka://") {
		errs = append(errs, fmt.Errorf("stream.url is %q; it must be %s or kafka://host:port", s.Stream, Embedded))
	}
	switch {
	case embedded && len(s.Role) < 3:
		errs = append(errs, fmt.Errorf("role is %s; a server with an embedded stream has all roles, because no other can read it", strings.Join(s.Role, ",")))
	case s.Has(RoleQuery) && !s.Has(RoleIndex):
		errs = append(errs, fmt.Errorf("role is %s; query goes with index, because a store is filled by the server that answers from it", strings.Join(s.Role, ",")))
	}
	if !embedded && k.Listen != "" {
		errs = append(errs, fmt.Errorf("kafka.listen is %q; it goes with an embedded stream: with %s producers publish to the cluster", k.Listen, s.Stream))
	}
	if k.Advertise != "" && k.Listen == "" {
		errs = append(errs, fmt.Errorf("kafka.advertise is %q; it goes with kafka.listen", k.Advertise))
	}
	if (k.TLSCert == "") != (k.TLSKey == "") {
		errs = append(errs, fmt.Errorf("kafka.tls_cert is %q and kafka.tls_key %q; give both or neither", k.TLSCert, k.TLSKey))
	}
	if !k.TLS && k.TLSCA+k.TLSCert != "" {
		errs = append(errs, fmt.Errorf("kafka.tls is false; with kafka.tls_ca or kafka.tls_cert it must be true"))
	}
	if signIn := k.SASL != "none"; signIn != (k.User != "") || signIn != (k.PasswordFile != "") {
		errs = append(errs, fmt.Errorf("kafka.sasl is %s, kafka.user %q and kafka.password_file %q; give all or none", k.SASL, k.User, k.PasswordFile))
	}
	if k.Partitions < 1 {
		errs = append(errs, fmt.Errorf("kafka.partitions is %d; it must be at least 1", k.Partitions))
	}
	if k.Replication > 0 && k.MinInsyncReplicas > k.Replication {
		errs = append(errs, fmt.Errorf("kafka.min_insync_replicas is %d; it must be at most kafka.replication, which is %d", k.MinInsyncReplicas, k.Replication))
	}
	if k.DeliveryTimeout < Duration(time.Second) {
		errs = append(errs, fmt.Errorf("kafka.delivery_timeout is %v; it must be at least 1s", k.DeliveryTimeout))
	}
	return errs
}
