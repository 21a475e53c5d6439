/*
 * kafkago.go
 *		github.com/segmentio/kafka-go: Writer with RequireAll, Reader.
 *
 * kafka-go's Reader delivers an empty key, value or header value as nil, as it
 * does with a null one. Its Client.Fetch keeps the two apart, and is what -exact
 * reads with.
 */
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

type kafkaGoClient struct {
	bootstrap string
}

var kafkaGoCodecs = map[string]kafka.Compression{
	"none":   0,
	"gzip":   kafka.Gzip,
	"snappy": kafka.Snappy,
	"lz4":    kafka.Lz4,
	"zstd":   kafka.Zstd,
}

/* What a message carries through the Writer: its number, and the partition asked for. */
type kafkaGoTag struct {
	index     int
	partition *int32
}

/* A partition asked for goes before the key's. */
type kafkaGoBalancer struct {
	byKey kafka.Murmur2Balancer
}

func (b kafkaGoBalancer) Balance(m kafka.Message, partitions ...int) int {
	if asked := m.WriterData.(kafkaGoTag).partition; asked != nil {
		return int(*asked)
	}
	return b.byKey.Balance(m, partitions...)
}

func (c kafkaGoClient) produce(
	ctx context.Context, o produceOptions, messages []message,
) ([]placement, error) {
	codec, ok := kafkaGoCodecs[o.codec]
	if !ok {
		return nil, fmt.Errorf("no codec %q", o.codec)
	}
	if o.transaction != "" {
		return nil, errors.New("kafka-go has no transactional producer")
	}

	/* The Writer tells places only in Completion, called before WriteMessages returns. */
	placements := make([]placement, len(messages))
	writer := &kafka.Writer{
		Addr:         kafka.TCP(c.bootstrap),
		Topic:        o.topic,
		Balancer:     kafkaGoBalancer{},
		RequiredAcks: kafka.RequireAll,
		Compression:  codec,
		BatchTimeout: 10 * time.Millisecond,
		BatchSize:    1000,
		Completion: func(written []kafka.Message, err error) {
			for _, m := range written {
				placements[m.WriterData.(kafkaGoTag).index] = placement{int32(m.Partition), m.Offset}
			}
		},
	}
	defer writer.Close()

	out := make([]kafka.Message, len(messages))
	for i := range messages {
		m := &messages[i]
		out[i] = kafka.Message{
			Key:        m.Key,
			Value:      m.Value,
			Time:       m.time(),
			WriterData: kafkaGoTag{i, m.Partition},
		}
		for _, h := range m.Headers {
			out[i].Headers = append(out[i].Headers, kafka.Header{Key: h.Name, Value: h.Value})
		}
	}
	return placements, writer.WriteMessages(ctx, out...)
}

func (c kafkaGoClient) consume(
	ctx context.Context, o consumeOptions, ready func(), emit func(message),
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	partitions := []int{int(o.partition)}
	if o.partition == allPartitions {
		found, err := kafka.DefaultDialer.LookupPartitions(ctx, "tcp", c.bootstrap, o.topic)
		if err != nil {
			return err
		}
		partitions = nil
		for _, p := range found {
			partitions = append(partitions, p.ID)
		}
	}

	arrived := make(chan message)
	failed := make(chan error)
	reading := 0 /* partitions not yet read to their end */
	done := make(chan struct{})

	for _, partition := range partitions {
		first, last, err := c.offsets(ctx, o.topic, partition)
		if err != nil {
			return err
		}
		/*
		 * The Reader would look for the newest offset in its own time, after
		 * ready was said; so it is given the number.
		 */
		start := o.from
		switch start {
		case fromOldest:
			start = first
		case fromNewest:
			start = last
		}
		end := last
		if o.count > 0 {
			end = -1
		} else if start >= end {
			continue
		}

		read := c.read
		if o.exact {
			read = c.fetch
		}
		reading++
		go func(partition int) {
			err := read(ctx, o.topic, partition, start, end, func(m message) {
				select {
				case arrived <- m:
				case <-ctx.Done():
				}
			})
			if err == nil {
				select {
				case done <- struct{}{}:
				case <-ctx.Done():
				}
				return
			}
			select {
			case failed <- err:
			case <-ctx.Done():
			}
		}(partition)
	}
	ready()

	for n := 0; o.count == 0 && reading > 0 || n < o.count; {
		select {
		case m := <-arrived:
			emit(m)
			n++
		case <-done:
			reading--
		case err := <-failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%w after %d messages", ctx.Err(), n)
		}
	}
	return nil
}

/* The first offset of a partition and the one after its last. */
func (c kafkaGoClient) offsets(
	ctx context.Context, topic string, partition int,
) (int64, int64, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", c.bootstrap, topic, partition)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	return conn.ReadOffsets()
}

/* Read a partition from start up to end, or for ever with an end of -1, with a Reader. */
func (c kafkaGoClient) read(
	ctx context.Context, topic string, partition int, start, end int64, emit func(message),
) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:   []string{c.bootstrap},
		Topic:     topic,
		Partition: partition,
		MinBytes:  1,
		MaxBytes:  10 << 20,
		MaxWait:   100 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(start); err != nil {
		return err
	}

	for offset := start; end < 0 || offset < end; offset++ {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return err
		}
		offset = m.Offset
		if end >= 0 && offset >= end {
			break
		}
		out := received(int32(partition), m.Offset, m.Time, m.Key, m.Value)
		for _, h := range m.Headers {
			out.Headers = append(out.Headers, header{h.Key, h.Value})
		}
		emit(out)
	}
	return nil
}

/* As read, with bare Fetch requests. */
func (c kafkaGoClient) fetch(
	ctx context.Context, topic string, partition int, start, end int64, emit func(message),
) error {
	client := &kafka.Client{Addr: kafka.TCP(c.bootstrap)}

	for offset := start; end < 0 || offset < end; {
		response, err := client.Fetch(ctx, &kafka.FetchRequest{
			Topic:     topic,
			Partition: partition,
			Offset:    offset,
			MinBytes:  1,
			MaxBytes:  10 << 20,
			MaxWait:   100 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		if response.Error != nil {
			return response.Error
		}
		for {
			record, err := response.Records.ReadRecord()
			if err != nil {
				break /* io.EOF, or a batch cut off by MaxBytes: it is fetched again */
			}
			key, err := readAll(record.Key)
			if err != nil {
				return err
			}
			value, err := readAll(record.Value)
			if err != nil {
				return err
			}
			/* a compressed batch comes whole, its part before the offset asked for too */
			if record.Offset < offset {
				continue
			}
			if end >= 0 && record.Offset >= end {
				return nil
			}
			out := received(int32(partition), record.Offset, record.Time, key, value)
			for _, h := range record.Headers {
				out.Headers = append(out.Headers, header{h.Key, h.Value})
			}
			emit(out)
			offset = record.Offset + 1
		}
	}
	return nil
}

/* All of a key or value; nil where there is none. */
func readAll(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return protocol.ReadAll(b)
}
