package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/internal/certs"
	"github.com/daybook-log/daybook/internal/settings"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/kafka"
	"github.com/daybook-log/daybook/stream/wal"
)

// durable is a stream as a server needs it.
type durable interface {
	stream.Stream
	Failed() error // why it takes no more until it is opened anew; nil: it does
}

// openStreams opens the stream of events and, where there is an index, that of
// dead letters.
func (srv *server) openStreams(fsys vfs.FS, s *settings.Settings) error {
	if s.Stream == settings.Embedded {
		return srv.openLogs(fsys, s)
	}
	return srv.openTopics(s)
}

// openLogs opens the embedded stream.
func (srv *server) openLogs(fsys vfs.FS, s *settings.Settings) error {
	events, err := wal.Open(fsys, filepath.Join(s.Data, streamDir), wal.Options{
		SegmentBytes: int64(s.StreamSegmentBytes), RetainAge: time.Duration(s.StreamRetainAge), RetainBytes: int64(s.StreamRetainBytes),
	}, srv.log.With("stage", "stream"))
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	srv.stream, srv.streamFigures = events, func() []api.Figure { return logFigures(events.Stats()) }
	srv.streamBytes = func() int64 { return events.Stats().Bytes }
	srv.retain = events.Retain
	dead, err := wal.Open(fsys, filepath.Join(s.Data, deadDir), wal.Options{SegmentBytes: 8 << 20}, srv.log.With("stage", "dead-letters"))
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	srv.dead = dead
	return nil
}

// openTopics opens the topics of a Kafka cluster.
func (srv *server) openTopics(s *settings.Settings) error {
	o, err := kafkaOptions(s)
	if err != nil {
		return &exitCode{exitUsage, err}
	}
	if s.Kafka.DeadLetterTopic == o.Topic { // else every letter would become another
		return &exitCode{exitUsage, fmt.Errorf("kafka.dead_letter_topic is %q, the topic of the events; it must be another", o.Topic)}
	}
	o.Logger = srv.log.With("stage", "stream")
	events, err := kafka.Open(context.Background(), o)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	srv.stream, srv.streamFigures = events, func() []api.Figure { return topicFigures(events.Stats()) }
	srv.topic = o.Topic
	if !s.Has(settings.RoleIndex) {
		return nil
	}
	// Dead letters are kept in the order of their records, hence in one
	// partition; and none is dropped but by hand.
	o.Topic, o.Group, o.MinRetention, o.MinMessage = s.Kafka.DeadLetterTopic, "", 0, 1<<20
	if o.Create != nil {
		letters := *o.Create
		letters.Partitions, letters.Retention = 1, -1
		o.Create = &letters
	}
	o.Logger = srv.log.With("stage", "dead-letters")
	dead, err := kafka.Open(context.Background(), o)
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	srv.dead = dead
	if n := dead.Stats().Partitions; n != 1 {
		return fmt.Errorf("dead letters: topic %s has %d partitions; it must have one, which keeps them in order", o.Topic, n)
	}
	return nil
}

// kafkaOptions makes the stream's options of settings.
func kafkaOptions(s *settings.Settings) (o kafka.Options, err error) {
	k := &s.Kafka
	if o, err = kafka.ParseURL(s.Stream); err != nil {
		return o, err
	}
	if o.Topic == "" {
		o.Topic = k.Topic
	}
	o.ClientID, o.DeliveryTimeout, o.MinRetention = k.ClientID, time.Duration(k.DeliveryTimeout), time.Duration(s.IndexDedupeWindow)
	if s.Has(settings.RoleIndex) {
		o.Group = k.ClientID
	}
	if k.CreateTopics {
		o.Create = &kafka.Topic{
			Partitions: int32(k.Partitions), Replication: int16(k.Replication), MinInsyncReplicas: k.MinInsyncReplicas, Retention: time.Duration(k.RetainAge),
		}
		if k.RetainAge == 0 {
			o.Create.Retention = -1
		}
	}
	if k.TLS {
		if o.TLS, err = kafkaTLS(k); err != nil {
			return o, err
		}
	}
	if k.SASL != "none" {
		password, err := readSecret("kafka.password_file", k.PasswordFile)
		if err != nil {
			return o, err
		}
		o.SASL = kafka.SASL{Mechanism: strings.ToUpper(k.SASL), User: k.User, Password: password}
	}
	return o, nil
}

// readSecret returns what a file holds but for the line's end. An error begins with
// the setting that names the file.
func readSecret(setting, file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	return string(bytes.TrimRight(text, "\r\n")), nil
}

func kafkaTLS(k *settings.Kafka) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if k.TLSCA != "" {
		var err error
		if c.RootCAs, err = certs.Pool("kafka.tls_ca", k.TLSCA); err != nil {
			return nil, err
		}
	}
	if k.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(k.TLSCert, k.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls_cert and kafka.tls_key: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// closeStreams closes what openStreams opened.
func (srv *server) closeStreams() error {
	var errs []error
	for _, s := range []durable{srv.stream, srv.dead} {
		if s != nil {
			if err := s.Close(); !errors.Is(err, stream.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
