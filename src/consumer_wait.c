/*
 * consumer_wait.c
 *		What a consumer does while messages are on their way: it waits for them, sees to it that
 *		librdkafka fetches them, and notices where nothing comes any more.
 *
 * Before 2.2 librdkafka looks at a partition whose queue was full again only once a second, and a
 * database is always slower than the fetching threads. So they are woken, or *kicked*: on a handle
 * for long scans every so many messages, which is before the queue has run dry; on one for small
 * scans, where any message in the queue makes it full, once a scan has gone so far into a batch that
 * it will want the next.
 * (https://github.com/confluentinc/librdkafka/issues/3708; fetch.queue.backoff.ms from 2.2 on.)
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/timestamp.h"

#include "consumer_private.h"

#define FETCHER_SLEEPS_BEFORE 0x02020000	/* librdkafka's version that mended it */
#define BULK_KICK 2000			/* messages between kicks ... */
#define BULK_KICK_BYTES (2 * 1024 * 1024)	/* ... or so much of them: an eighth of a full queue */
#define SMALL_KICK 64			/* messages after which a small scan wants the next batch */
#define MAX_KICKED 64			/* partitions named by one kick, as a rule */
#define FIRST_NAP_MS 5			/* before librdkafka is kicked; doubled twice each time */
#define POLL_CAP_MS 1000		/* look again so often, whatever the descriptor says */
#define FLUSH_RETRY_MS 20
#define END_NAP_MS 20			/* at the end, before librdkafka is kicked: once */
#define LOOK_AROUND_MS 1000		/* between two looks at what the partitions do */
#define DOUBT_MS 50				/* without a message, before presumed ranges are doubted */

static int64
ms_since(TimestampTz since, TimestampTz now)
{
	return now > since ? (now - since) / 1000 : 0;
}

void
kafka_consumer_partition_error(KafkaConsumer *consumer, ConsumerPartition *part, rd_kafka_resp_err_t err,
							   const char *errstr)
{
	const char *hint = KafkaConnectionHint(err);

	consumer->handle->stale = true; /* librdkafka would not say why a second time */
	ereport(ERROR,
			(errcode(KafkaConnectionSqlState(err)),
			 errmsg("could not read topic \"%s\" partition %d from offset " INT64_FORMAT,
					consumer->topic, part->partition, part->next),
			 errdetail_internal("%s.", KafkaConnectionCause(consumer->handle, err, errstr)),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * A request of any kind wakes the thread of the broker that it goes to. A look-up of offsets goes to
 * the leader of each partition that it names; with a timeout of 0 it is sent, nobody waits, and the
 * answer is dropped. Partitions of one broker are fetched by one thread, so one of them is named, or
 * every one, as leaders may have moved since the broker was noted.
 */
void
kafka_consumer_kick(KafkaConsumer *consumer, bool all)
{
	rd_kafka_topic_partition_list_t *list;

	consumer->unkicked = false;
	consumer->kick_at = consumer->kick_bytes = PG_INT64_MAX;
	if (consumer->handle->kind != KAFKA_HANDLE_SMALL)
	{
		consumer->kick_at = consumer->received + BULK_KICK;
		consumer->kick_bytes = consumer->counters.bytes + BULK_KICK_BYTES;
	}
	if (rd_kafka_version() >= FETCHER_SLEEPS_BEFORE || consumer->nactive == 0)
		return;
	list = rd_kafka_topic_partition_list_new(all ? consumer->nactive : MAX_KICKED);
	for (int i = 0; i < consumer->nstarted && (all || list->cnt < MAX_KICKED); i++)
	{
		ConsumerPartition *part = &consumer->parts[i];
		bool		named = false;

		if (!part->active)
			continue;
		for (int j = 0; j < list->cnt && !all && !named; j++)
			named = part->broker != KAFKA_NO_BROKER &&
				consumer->parts[consumer->part_of[list->elems[j].partition]].broker == part->broker;
		if (!named)
			rd_kafka_topic_partition_list_add(list, consumer->topic, part->partition)->offset =
				RD_KAFKA_OFFSET_END;
	}
	(void) rd_kafka_offsets_for_times(consumer->handle->rk, list, 0);
	rd_kafka_topic_partition_list_destroy(list);
}

/* True where the batch just taken has the last message that the scan needs. */
static bool
batch_is_last(const KafkaConsumer *consumer)
{
	const rd_kafka_message_t *last = consumer->batch[consumer->nbatch - 1];
	const ConsumerPartition *part;

	if (consumer->ndone + 1 < consumer->nparts || last->err || last->partition < 0 ||
		last->partition > consumer->max_partition || consumer->part_of[last->partition] < 0)
		return false;
	part = &consumer->parts[consumer->part_of[last->partition]];
	return !part->done && last->offset + 1 >= consumer->ranges[part->last_range].end;
}

void
kafka_consumer_plan_kick(KafkaConsumer *consumer)
{
	if (rd_kafka_version() >= FETCHER_SLEEPS_BEFORE)
		return;
	consumer->unkicked = true;
	if (consumer->handle->kind != KAFKA_HANDLE_SMALL)
	{
		consumer->kick_at = Min(consumer->kick_at, consumer->received + BULK_KICK);
		consumer->kick_bytes = Min(consumer->kick_bytes,
								   consumer->counters.bytes + BULK_KICK_BYTES);
	}
	else if (batch_is_last(consumer))
		consumer->kick_at = PG_INT64_MAX;
	else
		consumer->kick_at = consumer->received + Min(SMALL_KICK, consumer->nbatch / 2);
}

static bool
wait_and_count(KafkaConsumer *consumer, int64 timeout_ms)
{
	instr_time	start;
	instr_time	end;
	bool		woken;

	INSTR_TIME_SET_CURRENT(start);
	woken = KafkaConnectionWait(consumer->handle, Min(timeout_ms, POLL_CAP_MS));
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	consumer->counters.waited_us += INSTR_TIME_GET_MICROSEC(end);
	return woken;
}

/*
 * An error that waiting will not mend: of the connection, said of a partition that is being read; or
 * of the topic, which was deleted, or may not be read any more. Looking it up tells which.
 */
static void
check_connection(KafkaConsumer *consumer)
{
	KafkaHandle *handle = consumer->handle;

	if (handle->lost_topic)
	{
		KafkaSnapshot *snapshot;

		handle->lost_topic = false;
		snapshot = KafkaConsumerSnapshot(consumer);
		pfree(snapshot->partitions);
		pfree(snapshot);
	}
	if (handle->fatal_err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (int i = 0; i < consumer->nparts; i++)
	{
		if (consumer->parts[i].active)
			kafka_consumer_partition_error(consumer, &consumer->parts[i], handle->fatal_err, NULL);
	}
}

pg_noreturn static void
silence_error(KafkaConsumer *consumer, ConsumerPartition *part, int64 elapsed)
{
	consumer->handle->stale = true;
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("could not read topic \"%s\" partition %d beyond offset " INT64_FORMAT,
					consumer->topic, part->partition, part->next),
			 errdetail("Nothing came from the broker for " INT64_FORMAT " ms%s%s.", elapsed,
					   consumer->handle->broker_errstr[0] ? "; the connection last said: " : "",
					   consumer->handle->broker_errstr),
			 errhint("Check that the partition's leader is up; the server's option "
					 "metadata_timeout says how long to try.")));
}

/*
 * The partition has been silent for so long that its leader was asked, and did not answer. A silent
 * partition need not be a lost one: a broker is not asked for messages while the queue is full of
 * those of others.
 */
static void
probe_silent(KafkaConsumer *consumer, const int32 *silent, int nsilent, TimestampTz now)
{
	int32		partition;

	if (kafka_consumer_probe(consumer, silent, nsilent, &partition))
	{
		for (int i = 0; i < nsilent; i++)
			consumer->parts[consumer->part_of[silent[i]]].heard = now;
	}
	else
	{
		ConsumerPartition *part = &consumer->parts[consumer->part_of[partition]];

		silence_error(consumer, part, ms_since(part->heard, GetCurrentTimestamp()));
	}
}

void
kafka_consumer_look_around(KafkaConsumer *consumer)
{
	TimestampTz now;
	int32	   *silent;
	int			nsilent = 0;

	if (consumer->nactive - consumer->ntailing < 2)
		return;
	now = GetCurrentTimestamp();
	if (ms_since(consumer->looked, now) < LOOK_AROUND_MS)
		return;
	consumer->looked = now;
	silent = palloc(consumer->nactive * sizeof(int32));
	for (int i = 0; i < consumer->nstarted; i++)
	{
		ConsumerPartition *part = &consumer->parts[i];

		if (!part->active || part->tailing)
			continue;
		if (part->heard == 0 || part->next != part->seen_next)
		{
			part->heard = now;
			part->seen_next = part->next;
		}
		else if (ms_since(part->heard, now) > consumer->server.metadata_timeout)
			silent[nsilent++] = part->partition;
	}
	if (nsilent > 0)
		probe_silent(consumer, silent, nsilent, now);
	pfree(silent);
}

/* How many of the ms may be waited before the caller wants to be told; at most 0: none any more. */
static int64
within_caller_time(const KafkaConsumer *consumer, TimestampTz now, int64 ms)
{
	if (consumer->wait_until == 0)
		return ms;
	return Min(ms, (consumer->wait_until - now + 999) / 1000);
}

bool
kafka_consumer_wait_for_rest(KafkaConsumer *consumer)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		elapsed;
	int64		left;

	if (within_caller_time(consumer, now, 1) <= 0)
	{
		consumer->stall_since = 0;
		return false;
	}
	/* The clock starts with the wait: the time that the caller took for his rows is his own. */
	if (consumer->stall_since == 0)
		consumer->stall_since = now;
	elapsed = ms_since(consumer->stall_since, now);
	left = consumer->server.metadata_timeout - elapsed;
	check_connection(consumer);
	if (left <= 0)
		kafka_consumer_check_silence(consumer);
	for (int i = 0; i < consumer->nparts && left <= 0; i++)
	{
		if (consumer->parts[i].active && !consumer->parts[i].tailing)
			silence_error(consumer, &consumer->parts[i], elapsed);
	}
	if (consumer->presumed)
	{
		int64		patience = Max(DOUBT_MS, 4 * consumer->handle->call_ms);

		if (elapsed >= patience)
		{
			consumer->doubtful = true;
			return true;
		}
		left = Min(left, patience - elapsed);
	}

	/*
	 * After a restart librdkafka may have looked at the partition while messages from before were
	 * queued, and then looks again only after a second.
	 */
	if (consumer->unkicked && consumer->handle->kind == KAFKA_HANDLE_SMALL)
		kafka_consumer_kick(consumer, false);
	if (consumer->nap == 0)
		consumer->nap = FIRST_NAP_MS;
	if (!wait_and_count(consumer, within_caller_time(consumer, now, Min(left, consumer->nap))))
	{
		kafka_consumer_kick(consumer, true);
		consumer->nap = Min(consumer->nap * 4, POLL_CAP_MS);
	}
	return true;
}

/* An entry that a presumed scan waits for: does its partition have all that was presumed of it? */
static void
compare_entry(KafkaConsumer *consumer, const rd_kafka_message_t *rkm)
{
	ConsumerPartition *part;
	int64		end;

	if (rkm->partition < 0 || rkm->partition > consumer->max_partition ||
		consumer->part_of[rkm->partition] < 0)
		return;
	part = &consumer->parts[consumer->part_of[rkm->partition]];
	end = consumer->ranges[part->last_range].end;
	if (rkm->err == RD_KAFKA_RESP_ERR_NO_ERROR ? rkm->offset >= end - 1
		: rkm->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && rkm->offset >= end)
	{
		consumer->ncovered += !part->covered;
		part->covered = true;
	}
	else if (rkm->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		consumer->doubtful = true;
}

void
kafka_consumer_compare_presumed(KafkaConsumer *consumer)
{
	while (consumer->ncovered < consumer->nparts && !consumer->doubtful)
	{
		ssize_t		got;

		CHECK_FOR_INTERRUPTS();
		got = consumer->nbatch == KAFKA_BATCH_SIZE ? 0
			: rd_kafka_consume_batch_queue(consumer->handle->messages, 0,
										   consumer->batch + consumer->nbatch,
										   KAFKA_BATCH_SIZE - consumer->nbatch);
		for (ssize_t i = 0; i < got; i++)
			compare_entry(consumer, consumer->batch[consumer->nbatch + i]);
		if (got > 0)
		{
			consumer->nbatch += (int) got;
			consumer->unkicked = true;
		}
		else if (consumer->nbatch == KAFKA_BATCH_SIZE)
			consumer->doubtful = true;
		else
			(void) kafka_consumer_wait_for_rest(consumer);
	}
	consumer->presumed = false;
}

bool
kafka_consumer_wait_at_end(KafkaConsumer *consumer)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		left = PG_INT64_MAX;
	int64		nap;
	bool		again = false;

	check_connection(consumer);
	if (consumer->tail_since == 0)
		consumer->tail_since = now;
	if (consumer->wait_since == 0)
		consumer->wait_since = now;
	if (consumer->tail.wait_timeout != KAFKA_WAIT_FOREVER)
		left = consumer->tail.wait_timeout - ms_since(consumer->wait_since, now);
	if (consumer->tail.max_wait != KAFKA_WAIT_UNLIMITED)
		left = Min(left, consumer->tail.max_wait - ms_since(consumer->tail_since, now));
	left = within_caller_time(consumer, now, left);
	if (left <= 0 || (consumer->tail.stop && consumer->tail.stop()))
		return false;
	if (consumer->tail.before_wait)
		again = consumer->tail.before_wait(consumer->tail.arg);
	kafka_consumer_check_tail(consumer);
	if (again)
		left = Min(left, FLUSH_RETRY_MS);

	/* librdkafka may be asleep with a queue that was full before we emptied it. */
	nap = consumer->unkicked ? Min(left, END_NAP_MS) : left;
	if (!wait_and_count(consumer, nap) && consumer->unkicked && nap == END_NAP_MS)
		kafka_consumer_kick(consumer, false);
	return true;
}

/* Asked before each message, since a reader who is slower than the senders never comes to wait. */
bool
kafka_consumer_waited_enough(KafkaConsumer *consumer)
{
	TimestampTz now;

	if (consumer->tail.wait_timeout == 0 || consumer->tail.max_wait == KAFKA_WAIT_UNLIMITED ||
		consumer->ndone + consumer->ntailing < consumer->nparts)
		return false;
	now = GetCurrentTimestamp();
	if (consumer->tail_since == 0)
		consumer->tail_since = now;
	return ms_since(consumer->tail_since, now) >= consumer->tail.max_wait;
}
