/*
 * sarama.go
 *		github.com/IBM/sarama: ConsumePartition, AsyncProducer, SyncProducer.
 */
package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct {
	brokers []string
}

func (c saramaClient) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	return config
}

func (c saramaClient) read(topic string, partitions int32, got *tally) error {
	client, err := sarama.NewClient(c.brokers, c.config())
	if err != nil {
		return err
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}

	var group sync.WaitGroup
	var failed = make(chan error, partitions)
	for partition := int32(0); partition < partitions; partition++ {
		end, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
		if err != nil {
			return err
		}
		if end == 0 {
			continue
		}
		source, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		group.Add(1)
		go func() {
			defer group.Done()
			failed <- readSarama(source.Messages(), end, got)
		}()
	}
	group.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

/* Count the messages of one partition up to its end. */
func readSarama(messages <-chan *sarama.ConsumerMessage, end int64, got *tally) error {
	count, bytes := 0, 0
	timer := time.NewTimer(patience)

	for {
		select {
		case m := <-messages:
			count++
			bytes += len(m.Value)
			if m.Offset == end-1 {
				got.add(count, bytes)
				return nil
			}
			if count%100000 == 0 {
				timer.Reset(patience)
			}
		case <-timer.C:
			return fmt.Errorf("nothing comes any more")
		}
	}
}

func (c saramaClient) send(topic string, count int) error {
	producer, err := sarama.NewAsyncProducer(c.brokers, c.config())
	if err != nil {
		return err
	}
	go func() {
		for i := 0; i < count; i++ {
			producer.Input() <- &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(row(i))}
		}
	}()
	for i := 0; i < count; i++ {
		select {
		case <-producer.Successes():
		case err := <-producer.Errors():
			return err
		}
	}
	return producer.Close()
}

func (c saramaClient) sender(topic string) (func([]byte) error, func(), error) {
	producer, err := sarama.NewSyncProducer(c.brokers, c.config())
	if err != nil {
		return nil, nil, err
	}
	send := func(value []byte) error {
		_, _, err := producer.SendMessage(&sarama.ProducerMessage{
			Topic: topic, Value: sarama.ByteEncoder(value),
		})
		return err
	}
	return send, func() { producer.Close() }, nil
}
