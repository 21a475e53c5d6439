/*
 * rdkafka.c
 *		librdkafka alone: the yardstick of the benchmark, and the maker of its data.
 *
 *	rdkafka rows KIND FIRST COUNT
 *		print rows, for a file or a table of PostgreSQL
 *	rdkafka fill BROKERS TOPIC KIND COUNT PARTITIONS CODEC BATCH
 *		send rows to a topic, in batches of so many bytes, spread evenly over its partitions
 *	rdkafka read BROKERS TOPIC callback|batch|poll
 *		read all of a topic; with "poll", by the high-level consumer
 *	rdkafka range BROKERS TOPIC FIRST LENGTH COUNT
 *		read LENGTH messages from the offset FIRST on, again and again with one handle
 *	rdkafka count BROKERS TOPIC
 *		how many messages the topic has, by its watermarks
 *	rdkafka send BROKERS TOPIC COUNT [PROPERTY=VALUE]...
 *		send rows without waiting for each, and wait for all acknowledgements
 *	rdkafka sync BROKERS TOPIC COUNT [PROPERTY=VALUE]...
 *		send row by row, and wait for each acknowledgement
 *
 * Prints "key=value" pairs in one line; "inner" is the time in seconds from when the brokers are
 * connected to the last message, which is what a statement of a session in use can be compared with.
 * What does not go as it should ends it with status 1.
 */
#define _GNU_SOURCE

#include <librdkafka/rdkafka.h>

#include "rows.h"
#include "times.h"

#define BATCH_SIZE 1000
#define KICK_INTERVAL 2000
#define SPREAD 500				/* rows in a row that go to one partition */
#define PATIENCE_US 30e6		/* without a message, before a reader gives up */

/* What kafka_fdw's large scans use, so that the two differ in nothing else. */
static const char *const consumer_properties[] = {
	"socket.nagle.disable=true", "fetch.wait.max.ms=1", "queued.max.messages.kbytes=16384",
	"fetch.message.max.bytes=262144", "queued.min.messages=5000", "enable.auto.commit=false",
	"enable.auto.offset.store=false", "check.crcs=true", "isolation.level=read_committed",
	"auto.offset.reset=error", NULL
};

/* What its small ones use. */
static const char *const small_properties[] = {
	"fetch.message.max.bytes=65536", "queued.min.messages=1000", NULL
};

static long received;			/* messages */
static long received_bytes;		/* of values */
static int	npartitions;		/* of the topic that is read */
static int	nbrokers;
static long wanted;				/* messages that the topic has */
static long acknowledged;
static long refused;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "rdkafka: %s: %s\n", what, why);
	exit(1);
}

static void
set_property(rd_kafka_conf_t *conf, const char *pair)
{
	char		error[512];
	char		name[128];
	const char *equals = strchr(pair, '=');

	if (equals == NULL)
		fail(pair, "no value");
	snprintf(name, sizeof(name), "%.*s", (int) (equals - pair), pair);
	if (rd_kafka_conf_set(conf, name, equals + 1, error, sizeof(error)) != RD_KAFKA_CONF_OK)
		fail(pair, error);
}

static rd_kafka_t *
make_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers)
{
	char		error[512];
	rd_kafka_t *rk;

	if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, error, sizeof(error)) !=
		RD_KAFKA_CONF_OK)
		fail(brokers, error);
	rk = rd_kafka_new(type, conf, error, sizeof(error));
	if (rk == NULL)
		fail("rd_kafka_new", error);
	return rk;
}

/* ---- Reading */

static void
count_message(rd_kafka_message_t *message, void *opaque)
{
	(void) opaque;
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return;
	if (message->err)
		fail("message", rd_kafka_message_errstr(message));
	received++;
	received_bytes += (long) message->len;
}

static void
drop_message(rd_kafka_message_t *message, void *opaque)
{
	(void) message;
	(void) opaque;
}

/*
 * librdkafka before 2.2 looks at a full queue again only after up to a second, unless it is woken. A
 * request that nobody waits for does that, for the broker that it goes to: one for metadata where
 * there is one broker, else one for offsets, which goes to the leaders of all partitions.
 */
static void
kick(rd_kafka_t *rk, rd_kafka_topic_t *rkt)
{
	static long kicked = 0;
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_partition_list_t *list;

	if (received - kicked < KICK_INTERVAL)
		return;
	kicked = received;
	if (rd_kafka_version() >= 0x02020000)
		return;
	if (nbrokers == 1)
	{
		if (rd_kafka_metadata(rk, 0, rkt, &metadata, 0) == 0)
			rd_kafka_metadata_destroy(metadata);
		return;
	}
	list = rd_kafka_topic_partition_list_new(npartitions);
	for (int i = 0; i < npartitions; i++)
		rd_kafka_topic_partition_list_add(list, rd_kafka_topic_name(rkt), i)->offset =
			RD_KAFKA_OFFSET_END;
	rd_kafka_offsets_for_times(rk, list, 0);
	rd_kafka_topic_partition_list_destroy(list);
}

/* How many partitions the topic has, and brokers the cluster. */
static void
look_at_topic(rd_kafka_t *rk, rd_kafka_topic_t *rkt)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, rkt, &metadata, 10000);

	if (err)
		fail("metadata", rd_kafka_err2str(err));
	npartitions = metadata->topics[0].partition_cnt;
	nbrokers = metadata->broker_cnt;
	rd_kafka_metadata_destroy(metadata);
	if (npartitions < 1)
		fail("topic", "unknown");
}

static void
read_simple(rd_kafka_t *rk, const char *topic, int batches)
{
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_message_t *messages[BATCH_SIZE];
	double		last = now_us();

	for (int i = 0; i < npartitions; i++)
		if (rd_kafka_consume_start_queue(rkt, i, RD_KAFKA_OFFSET_BEGINNING, queue) != 0)
			fail("consume_start", rd_kafka_err2str(rd_kafka_last_error()));
	while (received < wanted)
	{
		long		before = received;

		if (batches)
		{
			ssize_t		n = rd_kafka_consume_batch_queue(queue, 0, messages, BATCH_SIZE);

			/* It waits to fill its batch: ask without a wait, and wait for one message. */
			if (n == 0)
				n = rd_kafka_consume_batch_queue(queue, 1000, messages, 1);
			for (ssize_t i = 0; i < n; i++)
			{
				count_message(messages[i], NULL);
				rd_kafka_message_destroy(messages[i]);
			}
		}
		else
			rd_kafka_consume_callback_queue(queue, 1000, count_message, NULL);
		kick(rk, rkt);
		if (received > before)
			last = now_us();
		else if (now_us() - last > PATIENCE_US)
			fail("read", "nothing comes any more");
	}
	for (int i = 0; i < npartitions; i++)
		rd_kafka_consume_stop(rkt, i);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_destroy(rkt);
}

static void
read_poll(rd_kafka_t *rk, const char *topic)
{
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(npartitions);
	double		last = now_us();

	rd_kafka_poll_set_consumer(rk);
	for (int i = 0; i < npartitions; i++)
		rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
	if (rd_kafka_assign(rk, list) != 0)
		fail("assign", rd_kafka_err2str(rd_kafka_last_error()));
	while (received < wanted)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 1000);

		if (message)
		{
			count_message(message, NULL);
			rd_kafka_message_destroy(message);
			kick(rk, rkt);
			if (received % BATCH_SIZE == 0)
				last = now_us();
		}
		else if (now_us() - last > PATIENCE_US)
			fail("read", "nothing comes any more");
	}
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_topic_destroy(rkt);
}

static rd_kafka_t *
make_consumer(const char *brokers, const char *const *more, const char *group)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	for (int i = 0; consumer_properties[i]; i++)
		set_property(conf, consumer_properties[i]);
	for (int i = 0; more && more[i]; i++)
		set_property(conf, more[i]);
	if (group)
		set_property(conf, group);
	return make_handle(RD_KAFKA_CONSUMER, conf, brokers);
}

/* How many messages there are to read. */
static void
look_up(rd_kafka_t *rk, const char *topic)
{
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);

	look_at_topic(rk, rkt);
	rd_kafka_topic_destroy(rkt);
	for (int i = 0; i < npartitions; i++)
	{
		int64_t		low;
		int64_t		high;
		rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(rk, topic, i, &low, &high, 10000);

		if (err)
			fail("watermarks", rd_kafka_err2str(err));
		wanted += high - low;
	}
}

static void
command_read(char **args)
{
	const char *topic = args[1];
	int			poll = strcmp(args[2], "poll") == 0;
	rd_kafka_t *rk = make_consumer(args[0], NULL, poll ? "group.id=bench" : NULL);
	double		begin;

	look_up(rk, topic);
	begin = now_us();
	if (poll)
		read_poll(rk, topic);
	else
		read_simple(rk, topic, strcmp(args[2], "batch") == 0);
	printf("inner=%.6f ", (now_us() - begin) / 1e6);
	rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	printf("count=%ld bytes=%ld\n", received, received_bytes);
}

static void
command_count(char **args)
{
	rd_kafka_t *rk = make_consumer(args[0], NULL, NULL);

	look_up(rk, args[1]);
	rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	printf("count=%ld\n", wanted);
}

/* A few messages of partition 0, as a scan of a narrow range reads them. */
static void
command_range(char **args)
{
	int64_t		first = atoll(args[2]);
	long		length = atol(args[3]);
	int			count = atoi(args[4]);
	double	   *times = malloc(sizeof(double) * (size_t) count);
	rd_kafka_t *rk = make_consumer(args[0], small_properties, NULL);
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, args[1], NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);

	for (int i = 0; i < count; i++)
	{
		double		begin = now_us();
		long		before = received;

		if (rd_kafka_consume_start_queue(rkt, 0, first, queue) != 0)
			fail("consume_start", rd_kafka_err2str(rd_kafka_last_error()));
		while (received < before + length)
		{
			rd_kafka_message_t *message;

			if (now_us() - begin > PATIENCE_US)
				fail("range", "nothing comes any more");
			if (rd_kafka_consume_batch_queue(queue, 100, &message, 1) < 1)
				continue;
			count_message(message, NULL);
			rd_kafka_message_destroy(message);
		}
		rd_kafka_consume_stop(rkt, 0);
		times[i] = now_us() - begin;
		/* what was fetched beyond */
		rd_kafka_consume_callback_queue(queue, 0, drop_message, NULL);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_destroy(rkt);
	rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	printf("count=%ld", received);
	print_times(times, count);
	printf("\n");
	free(times);
}

/* ---- Sending */

static void
on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	(void) rk;
	(void) opaque;
	if (message->err)
		refused++;
	else
		acknowledged++;
}

static rd_kafka_t *
make_producer(const char *brokers, char **properties)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	set_property(conf, "request.required.acks=all");
	for (; *properties; properties++)
		set_property(conf, *properties);
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	return make_handle(RD_KAFKA_PRODUCER, conf, brokers);
}

static void
produce(rd_kafka_t *rk, rd_kafka_topic_t *rkt, int partition, RowKind kind, long n)
{
	char		row[ROW_MAX];
	size_t		length = row_make(row, kind, (uint64_t) n);

	while (rd_kafka_produce(rkt, partition, RD_KAFKA_MSG_F_COPY, row, length, NULL, 0, NULL) != 0)
	{
		if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_poll(rk, 100);
	}
}

/* Wait for what was sent to be acknowledged. */
static void
settle(rd_kafka_t *rk, long count)
{
	rd_kafka_flush(rk, 60000);
	if (refused || acknowledged != count)
		fail("send", "not everything was acknowledged");
}

static void
end_producer(rd_kafka_t *rk, rd_kafka_topic_t *rkt)
{
	rd_kafka_topic_destroy(rkt);
	rd_kafka_destroy(rk);
}

static void
command_fill(char **args)
{
	long		count = atol(args[3]);
	int			spread = atoi(args[4]);
	char		codec[64];
	char		size[64];
	char	   *properties[] = {codec, size, "linger.ms=50", "queue.buffering.max.messages=200000", NULL};
	RowKind		kind;
	rd_kafka_t *rk;
	rd_kafka_topic_t *rkt;

	if (!row_kind(args[2], &kind))
		fail(args[2], "no such rows");
	snprintf(codec, sizeof(codec), "compression.codec=%s", args[5]);
	snprintf(size, sizeof(size), "batch.size=%s", args[6]);
	rk = make_producer(args[0], properties);
	rkt = rd_kafka_topic_new(rk, args[1], NULL);
	for (long i = 0; i < count; i++)
	{
		produce(rk, rkt, (int) (i / SPREAD % spread), kind, i);
		if (i % 100 == 0)
			rd_kafka_poll(rk, 0);
	}
	settle(rk, count);
	end_producer(rk, rkt);
	printf("count=%ld\n", acknowledged);
}

static void
command_send(char **args)
{
	long		count = atol(args[2]);
	rd_kafka_t *rk = make_producer(args[0], args + 3);
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, args[1], NULL);
	double		begin;

	look_at_topic(rk, rkt);
	begin = now_us();
	for (long i = 0; i < count; i++)
	{
		produce(rk, rkt, RD_KAFKA_PARTITION_UA, ROW_LOG, i);
		if (i % 100 == 0)
			rd_kafka_poll(rk, 0);
	}
	settle(rk, count);
	printf("inner=%.6f count=%ld\n", (now_us() - begin) / 1e6, acknowledged);
	end_producer(rk, rkt);
}

static void
command_sync(char **args)
{
	int			count = atoi(args[2]);
	double	   *times = malloc(sizeof(double) * (size_t) count);
	rd_kafka_t *rk = make_producer(args[0], args + 3);
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, args[1], NULL);

	for (int i = 0; i < count; i++)
	{
		double		begin = now_us();

		produce(rk, rkt, RD_KAFKA_PARTITION_UA, ROW_LOG, i);
		while (acknowledged + refused <= i)
			rd_kafka_poll(rk, 1000);
		times[i] = now_us() - begin;
	}
	settle(rk, count);
	end_producer(rk, rkt);
	printf("count=%ld", acknowledged);
	print_times(times, count);
	printf("\n");
	free(times);
}

/* ---- Rows for others */

static void
command_rows(char **args)
{
	long		first = atol(args[1]);
	long		count = atol(args[2]);
	char		row[ROW_MAX];
	RowKind		kind;

	if (!row_kind(args[0], &kind))
		fail(args[0], "no such rows");
	for (long i = first; i < first + count; i++)
	{
		row_make(row, kind, (uint64_t) i);
		puts(row);
	}
}

int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		int			nargs;
		void		(*run) (char **args);
	}			commands[] = {
		{"rows", 3, command_rows},
		{"fill", 7, command_fill},
		{"read", 3, command_read},
		{"count", 2, command_count},
		{"range", 5, command_range},
		{"send", 3, command_send},
		{"sync", 3, command_sync}
	};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].nargs)
		{
			commands[i].run(argv + 2);
			return 0;
		}
	}
	fail("usage", "see the head of rdkafka.c");
}
