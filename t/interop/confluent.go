/*
 * confluent.go
 *		github.com/confluentinc/confluent-kafka-go: librdkafka under Go.
 *
 * Its librdkafka is its own, linked in statically and newer than the one the
 * extension is built with, so that it stands for another version of it.
 */
package main

import (
	"context"
	"fmt"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

type confluentClient struct {
	bootstrap string
}

func (c confluentClient) produce(
	ctx context.Context, o produceOptions, messages []message,
) ([]placement, error) {
	config := kafka.ConfigMap{
		"bootstrap.servers": c.bootstrap,
		"acks":              "all",
		"compression.type":  o.codec,
		"partitioner":       "murmur2_random",
		"linger.ms":         20,
	}
	if o.transaction != "" {
		config["transactional.id"] = o.transactionalID()
	}
	producer, err := kafka.NewProducer(&config)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	go func() {
		for range producer.Events() { /* errors of the handle; a message's own come below */
		}
	}()

	if o.transaction != "" {
		if err = producer.InitTransactions(ctx); err != nil {
			return nil, err
		}
		if err = producer.BeginTransaction(); err != nil {
			return nil, err
		}
	}

	reports := make(chan kafka.Event, len(messages))
	for i := range messages {
		m := &messages[i]
		out := &kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &o.topic, Partition: kafka.PartitionAny},
			Key:            m.Key,
			Value:          m.Value,
			Timestamp:      m.time(),
			Opaque:         i,
		}
		if m.Partition != nil {
			out.TopicPartition.Partition = *m.Partition
		}
		for _, h := range m.Headers {
			out.Headers = append(out.Headers, kafka.Header{Key: h.Name, Value: h.Value})
		}
		if err = producer.Produce(out, reports); err != nil {
			return nil, err
		}
	}

	placements := make([]placement, len(messages))
	for range messages {
		select {
		case event := <-reports:
			m, ok := event.(*kafka.Message)
			if !ok {
				return nil, fmt.Errorf("no delivery report: %v", event)
			}
			if err := m.TopicPartition.Error; err != nil {
				return nil, err
			}
			placements[m.Opaque.(int)] = placement{
				m.TopicPartition.Partition, int64(m.TopicPartition.Offset),
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}

	switch o.transaction {
	case "":
	case "commit":
		err = producer.CommitTransaction(ctx)
	case "abort":
		err = producer.AbortTransaction(ctx)
	default:
		err = fmt.Errorf("no such end of a transaction: %q", o.transaction)
	}
	return placements, err
}

func (c confluentClient) consume(
	ctx context.Context, o consumeOptions, ready func(), emit func(message),
) error {
	const requestTimeout = 10_000 /* ms */

	/* A group must be named, but partitions are assigned by hand and nothing is committed. */
	consumer, err := kafka.NewConsumer(&kafka.ConfigMap{
		"bootstrap.servers":        c.bootstrap,
		"group.id":                 "interop",
		"enable.auto.commit":       false,
		"auto.offset.reset":        "error",
		"enable.partition.eof":     true,
		"allow.auto.create.topics": false,
	})
	if err != nil {
		return err
	}
	defer consumer.Close()

	partitions := []int32{o.partition}
	if o.partition == allPartitions {
		metadata, err := consumer.GetMetadata(&o.topic, false, requestTimeout)
		if err != nil {
			return err
		}
		topic := metadata.Topics[o.topic]
		if topic.Error.Code() != kafka.ErrNoError {
			return topic.Error
		}
		partitions = nil
		for _, p := range topic.Partitions {
			partitions = append(partitions, p.ID)
		}
	}

	/* kafka.OffsetEnd would be looked up later, after ready was said; so a number is. */
	var assignment []kafka.TopicPartition
	ends := map[int32]kafka.Offset{} /* of the partitions not yet read to their end */
	for _, partition := range partitions {
		low, high, err := consumer.QueryWatermarkOffsets(o.topic, partition, requestTimeout)
		if err != nil {
			return err
		}
		start := o.from
		switch start {
		case fromOldest:
			start = low
		case fromNewest:
			start = high
		}
		if o.count == 0 {
			if start >= high {
				continue
			}
			ends[partition] = kafka.Offset(high)
		}
		assignment = append(assignment, kafka.TopicPartition{
			Topic: &o.topic, Partition: partition, Offset: kafka.Offset(start),
		})
	}
	if err = consumer.Assign(assignment); err != nil {
		return err
	}
	ready()

	for n := 0; o.count == 0 && len(ends) > 0 || n < o.count; {
		if ctx.Err() != nil {
			return fmt.Errorf("%w after %d messages", ctx.Err(), n)
		}
		switch event := consumer.Poll(100).(type) {
		case *kafka.Message:
			at := event.TopicPartition
			end, reading := ends[at.Partition]
			if o.count == 0 && (!reading || at.Offset >= end) {
				continue
			}
			out := received(at.Partition, int64(at.Offset), event.Timestamp, event.Key, event.Value)
			for _, h := range event.Headers {
				out.Headers = append(out.Headers, header{h.Key, h.Value})
			}
			emit(out)
			n++
			if at.Offset == end-1 {
				delete(ends, at.Partition)
			}
		case kafka.PartitionEOF:
			if end, reading := ends[event.Partition]; reading && event.Offset >= end {
				delete(ends, event.Partition)
			}
		case kafka.Error:
			return event
		}
	}
	return nil
}
