/*
 * main.go
 *		Kafka's Go clients, behind one command line, as the benchmark drives them.
 *
 *	clients NAME read BROKERS TOPIC PARTITIONS	read all of a topic
 *	clients NAME send BROKERS TOPIC COUNT		send rows without waiting for each, and wait for all
 *	clients NAME sync BROKERS TOPIC COUNT		send row by row, and wait for each acknowledgement
 *	clients franz-go copy BROKERS TOPIC COUNT	store so many messages in PostgreSQL: see copy.go
 *
 * NAME is sarama, franz-go or kafka-go. Each is used as its own documentation recommends for the
 * purpose, acknowledged by all in-sync replicas and without compression. Prints "key=value" pairs.
 */
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

/* What a client can do. Each function returns when all of it is done. */
type client interface {
	/* Count what the partitions hold, up to their ends as they are seen. */
	read(topic string, partitions int32, got *tally) error
	/* Send so many rows, and wait until all are acknowledged. */
	send(topic string, count int) error
	/* A function that sends one row and waits for its acknowledgement, and one that ends it. */
	sender(topic string) (send func(value []byte) error, end func(), err error)
}

/* What was read; several goroutines add to it. */
type tally struct {
	count, bytes atomic.Int64
}

func (t *tally) add(messages, bytes int) {
	t.count.Add(int64(messages))
	t.bytes.Add(int64(bytes))
}

/* How long a reader waits for a message before it gives up. */
const patience = 30 * time.Second

/* A row of 100 bytes. */
func row(n int) []byte {
	return []byte(fmt.Sprintf("%020d%s", n, strings.Repeat("0123456789abcdef", 5)))
}

/* The same percentiles as times.h has. */
func printTimes(times []float64) {
	first := times[0]
	rest := times[1:]
	sort.Float64s(rest)
	fmt.Printf(" first=%.1f p50=%.1f p99=%.1f", first, rest[len(rest)/2], rest[len(rest)*99/100])
}

func runSync(c client, topic string, count int) error {
	send, end, err := c.sender(topic)
	if err != nil {
		return err
	}
	times := make([]float64, count)
	for i := range times {
		value := row(i)
		begin := time.Now()
		if err := send(value); err != nil {
			return err
		}
		times[i] = float64(time.Since(begin).Nanoseconds()) / 1e3
	}
	end()
	fmt.Printf("count=%d", count)
	printTimes(times)
	fmt.Println()
	return nil
}

func run(args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("usage: clients NAME read|send|sync|copy BROKERS TOPIC NUMBER")
	}
	brokers := strings.Split(args[2], ",")
	topic := args[3]
	number, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}

	var c client
	switch args[0] {
	case "sarama":
		c = saramaClient{brokers}
	case "franz-go":
		c = franzClient{brokers}
	case "kafka-go":
		c = kafkaGoClient{brokers}
	default:
		return fmt.Errorf("no such client: %s", args[0])
	}

	switch args[1] {
	case "read":
		var got tally
		if err := c.read(topic, int32(number), &got); err != nil {
			return err
		}
		fmt.Printf("count=%d bytes=%d\n", got.count.Load(), got.bytes.Load())
		return nil
	case "send":
		if err := c.send(topic, number); err != nil {
			return err
		}
		fmt.Printf("count=%d\n", number)
		return nil
	case "sync":
		return runSync(c, topic, number)
	case "copy":
		if franz, ok := c.(franzClient); ok {
			return franz.copyInto(topic, number)
		}
	}
	return fmt.Errorf("no such command: %s", args[1])
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
