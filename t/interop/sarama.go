/*
 * sarama.go
 *		github.com/IBM/sarama: SyncProducer with WaitForAll, ConsumePartition.
 *
 * The one client of the three whose requests can also be made by hand, so it
 * shows the record batches as they are stored, too.
 */
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct {
	bootstrap string
}

var saramaCodecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

/* A partition asked for goes before the key's. */
type saramaPartitioner struct {
	byKey sarama.Partitioner
}

func newSaramaPartitioner(topic string) sarama.Partitioner {
	return &saramaPartitioner{
		byKey: sarama.NewCustomPartitioner(
			sarama.WithAbsFirst(),
			sarama.WithCustomHashFunction(newMurmur2))(topic),
	}
}

func (p *saramaPartitioner) Partition(m *sarama.ProducerMessage, n int32) (int32, error) {
	if asked := m.Metadata.(*int32); asked != nil {
		return *asked, nil
	}
	return p.byKey.Partition(m, n)
}

func (p *saramaPartitioner) RequiresConsistency() bool {
	return true
}

func (c saramaClient) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Metadata.AllowAutoTopicCreation = false
	return config
}

/* nil bytes must become a nil Encoder: an Encoder of nil bytes is a key, if an empty one. */
func saramaEncoder(b []byte) sarama.Encoder {
	if b == nil {
		return nil
	}
	return sarama.ByteEncoder(b)
}

func (c saramaClient) produce(
	ctx context.Context, o produceOptions, messages []message,
) ([]placement, error) {
	codec, ok := saramaCodecs[o.codec]
	if !ok {
		return nil, fmt.Errorf("no codec %q", o.codec)
	}

	config := c.config()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Return.Errors = true
	config.Producer.Compression = codec
	config.Producer.Partitioner = newSaramaPartitioner
	if deadline, ok := ctx.Deadline(); ok {
		config.Producer.Timeout = time.Until(deadline)
	}
	if o.transaction != "" {
		config.Producer.Idempotent = true
		config.Producer.Transaction.ID = o.transactionalID()
		config.Net.MaxOpenRequests = 1
	}

	producer, err := sarama.NewSyncProducer([]string{c.bootstrap}, config)
	if err != nil {
		return nil, err
	}
	defer producer.Close()

	out := make([]*sarama.ProducerMessage, len(messages))
	for i := range messages {
		m := &messages[i]
		out[i] = &sarama.ProducerMessage{
			Topic:     o.topic,
			Key:       saramaEncoder(m.Key),
			Value:     saramaEncoder(m.Value),
			Timestamp: m.time(),
			Metadata:  m.Partition,
		}
		for _, h := range m.Headers {
			out[i].Headers = append(out[i].Headers,
				sarama.RecordHeader{Key: []byte(h.Name), Value: h.Value})
		}
	}

	if o.transaction != "" {
		if err = producer.BeginTxn(); err != nil {
			return nil, err
		}
	}
	if err = producer.SendMessages(out); err != nil {
		if failures, ok := err.(sarama.ProducerErrors); ok {
			return nil, fmt.Errorf("%w First: %v", err, failures[0].Err)
		}
		return nil, err
	}
	switch o.transaction {
	case "":
	case "commit":
		err = producer.CommitTxn()
	case "abort":
		err = producer.AbortTxn()
	default:
		err = fmt.Errorf("no such end of a transaction: %q", o.transaction)
	}
	if err != nil {
		return nil, err
	}

	placements := make([]placement, len(out))
	for i, m := range out {
		placements[i] = placement{m.Partition, m.Offset}
	}
	return placements, nil
}

func (c saramaClient) consume(
	ctx context.Context, o consumeOptions, ready func(), emit func(message),
) error {
	config := c.config()
	config.Consumer.Return.Errors = true
	/* closing waits for that long, one partition after another */
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	kafka, err := sarama.NewClient([]string{c.bootstrap}, config)
	if err != nil {
		return err
	}
	defer kafka.Close()
	consumer, err := sarama.NewConsumerFromClient(kafka)
	if err != nil {
		return err
	}
	defer consumer.Close()

	partitions := []int32{o.partition}
	if o.partition == allPartitions {
		if partitions, err = consumer.Partitions(o.topic); err != nil {
			return err
		}
	}

	start := o.from
	switch start {
	case fromOldest:
		start = sarama.OffsetOldest
	case fromNewest:
		start = sarama.OffsetNewest
	}

	arrived := make(chan *sarama.ConsumerMessage)
	failed := make(chan error)
	stop := make(chan struct{})
	defer close(stop)
	ends := map[int32]int64{} /* of the partitions not yet read to their end */

	for _, partition := range partitions {
		first, err := kafka.GetOffset(o.topic, partition, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		end, err := kafka.GetOffset(o.topic, partition, sarama.OffsetNewest)
		if err != nil {
			return err
		}
		if o.count == 0 {
			if o.from == fromNewest || end <= first || end <= o.from {
				continue
			}
			ends[partition] = end
		}

		source, err := consumer.ConsumePartition(o.topic, partition, start)
		if err != nil {
			return err
		}
		defer source.Close()
		go func() {
			for m := range source.Messages() {
				select {
				case arrived <- m:
				case <-stop:
					return
				}
			}
		}()
		go func() {
			for err := range source.Errors() {
				select {
				case failed <- err:
				case <-stop:
					return
				}
			}
		}()
	}
	ready()

	for n := 0; o.count == 0 && len(ends) > 0 || n < o.count; {
		select {
		case m := <-arrived:
			end, reading := ends[m.Partition]
			if o.count == 0 && (!reading || m.Offset >= end) {
				continue
			}
			out := received(m.Partition, m.Offset, m.Timestamp, m.Key, m.Value)
			for _, h := range m.Headers {
				out.Headers = append(out.Headers, header{string(h.Key), h.Value})
			}
			emit(out)
			n++
			if m.Offset == end-1 {
				delete(ends, m.Partition)
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%w after %d messages", ctx.Err(), n)
		}
	}
	return nil
}

/* A record batch as the broker keeps it. */
type batch struct {
	Offset        int64  `json:"offset"`
	Count         int    `json:"count"`
	Codec         string `json:"codec"`
	ProducerID    int64  `json:"producer_id"` /* -1: not idempotent */
	Transactional bool   `json:"transactional"`
	Control       bool   `json:"control"`
	AppendTime    bool   `json:"append_time"`
}

/*
 * The batches of a partition, from its first to its end. Consumers unpack
 * silently whatever they get, so only this shows that a producer compressed.
 */
func (c saramaClient) batches(topic string, partition int32, emit func(batch)) error {
	kafka, err := sarama.NewClient([]string{c.bootstrap}, c.config())
	if err != nil {
		return err
	}
	defer kafka.Close()
	leader, err := kafka.Leader(topic, partition)
	if err != nil {
		return err
	}
	offset, err := kafka.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	end, err := kafka.GetOffset(topic, partition, sarama.OffsetNewest)
	if err != nil {
		return err
	}

	for offset < end {
		request := &sarama.FetchRequest{Version: 11, MinBytes: 1, MaxBytes: 1 << 24, MaxWaitTime: 500}
		request.AddBlock(topic, partition, offset, 1<<20, -1)
		response, err := leader.Fetch(request)
		if err != nil {
			return err
		}
		block := response.GetBlock(topic, partition)
		if block == nil {
			return fmt.Errorf("no answer for partition %d", partition)
		}
		if block.Err != sarama.ErrNoError {
			return block.Err
		}
		for _, records := range block.RecordsSet {
			b := records.RecordBatch
			if b == nil {
				return fmt.Errorf("a message set older than record batches at offset %d", offset)
			}
			emit(batch{
				Offset:        b.FirstOffset,
				Count:         len(b.Records),
				Codec:         b.Codec.String(),
				ProducerID:    b.ProducerID,
				Transactional: b.IsTransactional,
				Control:       b.Control,
				AppendTime:    b.LogAppendTime,
			})
			offset = b.LastOffset() + 1
		}
	}
	return nil
}
