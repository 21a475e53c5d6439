/*
 * franz.go
 *		github.com/twmb/franz-go: PollFetches, Produce with Flush, ProduceSync.
 */
package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

type franzClient struct {
	brokers []string
}

func (c franzClient) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(c.brokers...))...)
}

func (c franzClient) read(topic string, partitions int32, got *tally) error {
	offsets := map[int32]kgo.Offset{}
	for partition := int32(0); partition < partitions; partition++ {
		offsets[partition] = kgo.NewOffset().AtStart()
	}
	client, err := c.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	if err != nil {
		return err
	}
	defer client.Close()

	left := int(partitions)
	for left > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err0(); err != nil {
			return err
		}
		if err := ctx.Err(); fetches.Empty() && err != nil && err != context.Canceled {
			return fmt.Errorf("nothing comes any more")
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			bytes := 0
			for _, record := range p.Records {
				bytes += len(record.Value)
			}
			got.add(len(p.Records), bytes)
			if n := len(p.Records); n > 0 && p.Records[n-1].Offset == p.HighWatermark-1 {
				left--
			}
		})
	}
	return nil
}

func (c franzClient) producer(topic string) (*kgo.Client, error) {
	return c.client(kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
}

func (c franzClient) send(topic string, count int) error {
	client, err := c.producer(topic)
	if err != nil {
		return err
	}
	defer client.Close()

	var refused atomic.Int64
	for i := 0; i < count; i++ {
		client.Produce(context.Background(), &kgo.Record{Value: row(i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				refused.Add(1)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		return err
	}
	if n := refused.Load(); n > 0 {
		return fmt.Errorf("%d messages were refused", n)
	}
	return nil
}

func (c franzClient) sender(topic string) (func([]byte) error, func(), error) {
	client, err := c.producer(topic)
	if err != nil {
		return nil, nil, err
	}
	send := func(value []byte) error {
		return client.ProduceSync(context.Background(), &kgo.Record{Value: value}).FirstErr()
	}
	return send, client.Close, nil
}
