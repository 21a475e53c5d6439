/*
 * kafkago.go
 *		github.com/segmentio/kafka-go: a Reader for each partition; Writer.
 */
package main

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"
)

type kafkaGoClient struct {
	brokers []string
}

func (c kafkaGoClient) read(topic string, partitions int32, got *tally) error {
	failed := make(chan error, partitions)
	for partition := 0; partition < int(partitions); partition++ {
		go func(partition int) {
			failed <- c.readPartition(topic, partition, got)
		}(partition)
	}
	for partition := int32(0); partition < partitions; partition++ {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}

func (c kafkaGoClient) readPartition(topic string, partition int, got *tally) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: c.brokers, Topic: topic, Partition: partition, MaxBytes: 10e6,
	})

	/* Not closed: that would wait for the request under way, of up to ten seconds. */
	count, bytes := 0, 0
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return err
		}
		count++
		bytes += len(m.Value)
		if m.Offset == m.HighWaterMark-1 {
			got.add(count, bytes)
			return nil
		}
	}
}

func (c kafkaGoClient) writer(topic string, batch int) *kafka.Writer {
	return &kafka.Writer{
		Addr: kafka.TCP(c.brokers...), Topic: topic, RequiredAcks: kafka.RequireAll,
		BatchSize: batch, BatchTimeout: 10 * time.Millisecond,
	}
}

/* WriteMessages waits for all that it is given, so it is given much. */
func (c kafkaGoClient) send(topic string, count int) error {
	const batch = 10000

	writer := c.writer(topic, batch)
	for i := 0; i < count; {
		messages := make([]kafka.Message, 0, batch)
		for ; i < count && len(messages) < batch; i++ {
			messages = append(messages, kafka.Message{Value: row(i)})
		}
		if err := writer.WriteMessages(context.Background(), messages...); err != nil {
			return err
		}
	}
	return writer.Close()
}

func (c kafkaGoClient) sender(topic string) (func([]byte) error, func(), error) {
	writer := c.writer(topic, 1)
	send := func(value []byte) error {
		return writer.WriteMessages(context.Background(), kafka.Message{Value: value})
	}
	return send, func() { writer.Close() }, nil
}
