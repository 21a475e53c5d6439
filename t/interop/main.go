/*
 * main.go
 *		The other side of the interoperation tests: Kafka's three Go clients
 *		behind one command line.
 *
 *	interop -client sarama|kafka-go|confluent -bootstrap ADDR produce ...
 *	interop -client sarama|kafka-go|confluent -bootstrap ADDR consume ...
 *	interop -bootstrap ADDR batches ...
 *
 * Messages are JSON lines on standard input (produce) and output (consume);
 * message.go has their shape. A client is driven as its users drive it, with
 * what its own documentation recommends; where it cannot tell two messages
 * apart, that is said at its file and nothing is made up for it.
 *
 * Every command ends by itself: on an error, or after -timeout, it says why on
 * standard error and exits with 1.
 */
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"
)

/* Where a consumer starts, besides at a given offset. */
const (
	fromOldest = -2
	fromNewest = -1
)

/* allPartitions stands for every partition of the topic. */
const allPartitions = -1

/* What to write. */
type produceOptions struct {
	topic       string
	codec       string /* none, gzip, snappy, lz4 or zstd */
	transaction string /* commit, abort, or empty: no transaction */
}

/* An id of this run's own, since the broker may still be ending the transaction of another. */
func (o produceOptions) transactionalID() string {
	return fmt.Sprintf("%s-%s-%d", o.topic, o.transaction, os.Getpid())
}

/* What to read. */
type consumeOptions struct {
	topic     string
	partition int32 /* or allPartitions */
	from      int64 /* an offset, fromOldest or fromNewest */
	count     int   /* end after so many; 0: at the end as it was at the start */
	exact     bool  /* by an interface that keeps null apart from empty */
}

/*
 * A client writes and reads messages.
 *
 * produce returns after all in-sync replicas have every message, with the place
 * of each in the order given. consume calls ready once its start is fixed on
 * the broker, so that whatever is sent later is seen, and then emit for each
 * message; those of one partition come in their order.
 */
type client interface {
	produce(ctx context.Context, o produceOptions, messages []message) ([]placement, error)
	consume(ctx context.Context, o consumeOptions, ready func(), emit func(message)) error
}

func usage() {
	fmt.Fprintf(os.Stderr, `usage: interop [-client NAME] -bootstrap HOST:PORT COMMAND [OPTION]...

clients: sarama, kafka-go, confluent

produce -topic T [-codec none|gzip|snappy|lz4|zstd] [-transaction commit|abort]
        messages from standard input, one JSON object a line; prints where each went
consume -topic T [-partition N] [-from oldest|newest|OFFSET] [-count N] [-exact]
        prints {"ready":true} once what is sent from now on will be seen, then messages
batches -topic T [-partition N]
        prints the record batches as they are stored, read with sarama

Each takes -timeout DURATION (default 60s) for the whole of its work.
`)
}

func main() {
	name := flag.String("client", "sarama", "the client library")
	bootstrap := flag.String("bootstrap", "", "the broker's address")

	flag.Usage = usage
	flag.Parse()
	if flag.NArg() == 0 || *bootstrap == "" {
		usage()
		os.Exit(2)
	}
	if err := run(*name, *bootstrap, flag.Arg(0), flag.Args()[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "interop: %s %s: %v\n", *name, flag.Arg(0), err)
		os.Exit(1)
	}
}

func run(name, bootstrap, command string, args []string) error {
	var c client

	switch name {
	case "sarama":
		c = saramaClient{bootstrap}
	case "kafka-go":
		c = kafkaGoClient{bootstrap}
	case "confluent":
		c = confluentClient{bootstrap}
	default:
		return fmt.Errorf("no such client")
	}

	set := flag.NewFlagSet(command, flag.ExitOnError)
	topic := set.String("topic", "", "the topic")
	timeout := set.Duration("timeout", time.Minute, "limit of the whole work")
	out := newOutput(os.Stdout)

	switch command {
	case "produce":
		codec := set.String("codec", "none", "compression codec")
		transaction := set.String("transaction", "", "commit or abort")
		set.Parse(args)

		messages, err := readMessages(os.Stdin)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), *timeout)
		defer cancel()
		placements, err := c.produce(ctx, produceOptions{
			topic: *topic, codec: *codec, transaction: *transaction,
		}, messages)
		if err != nil {
			return err
		}
		for _, p := range placements {
			out.line(p)
		}
		return out.err

	case "consume":
		partition := set.Int("partition", allPartitions, "one partition; default all")
		from := set.String("from", "oldest", "oldest, newest or an offset")
		count := set.Int("count", 0, "end after so many messages; 0: at the end of the topic")
		exact := set.Bool("exact", false, "keep null apart from empty")
		set.Parse(args)

		start, err := parseFrom(*from)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), *timeout)
		defer cancel()
		err = c.consume(ctx, consumeOptions{
			topic: *topic, partition: int32(*partition), from: start, count: *count, exact: *exact,
		}, func() { out.line(readyLine{true}) }, func(m message) { out.line(m) })
		if err != nil {
			return err
		}
		return out.err

	case "batches":
		partition := set.Int("partition", 0, "the partition")
		set.Parse(args)

		return saramaClient{bootstrap}.batches(*topic, int32(*partition), func(b batch) {
			out.line(b)
		})
	}
	return fmt.Errorf("no such command")
}

func parseFrom(s string) (int64, error) {
	switch s {
	case "oldest":
		return fromOldest, nil
	case "newest":
		return fromNewest, nil
	}
	offset, err := strconv.ParseInt(s, 10, 64)
	if err != nil || offset < 0 {
		return 0, fmt.Errorf("%q is no offset", s)
	}
	return offset, nil
}
