/*
 * consumer.c
 *		Ranges of offsets in, messages out, by librdkafka's simple consumer interface.
 *
 * Each partition has its ranges, read one after another; a few partitions are fetched at once and
 * all of them deliver into one queue. A range is at its end at the first of
 *	- a message at or past the end (dropped),
 *	- the message just before the end (delivered),
 *	- an end-of-partition event at or past the end,
 *	- an empty queue with the position at or past the end: transaction markers are swallowed by
 *	  librdkafka but move the position.
 * A partition that does none of these and delivers nothing within metadata_timeout is an error:
 * what comes out is whole or is not called complete.
 *
 * A scan starts on a handle with small fetches, since most are small, and moves to one with large
 * fetches after some thousands of messages without a jump.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "consumer_private.h"

#define SMALL_SCAN 4000			/* messages after which a scan is no longer small */
#define MANY_HANDLES 4			/* where a session has more out, who is at an end keeps none */
#define SMALL_WINDOW 4			/* partitions fetched at once by a small scan ... */
#define BULK_WINDOW 64			/* ... and by a large one */
#define SKIP_GAP 500			/* offsets between ranges that are read rather than jumped */
#define MAX_CONTRADICTIONS 3	/* of a broker that refuses an offset and says that it has it */

/* Stop fetching a partition. Waits for librdkafka's own thread only. */
static void
stop_partition(KafkaConsumer *consumer, ConsumerPartition *part)
{
	if (!part->active)
		return;
	rd_kafka_consume_stop(consumer->handle->rkt, part->partition);
	part->active = false;
	consumer->nactive--;
}

static void
drop_batch(KafkaConsumer *consumer)
{
	if (consumer->current)
		rd_kafka_message_destroy(consumer->current);
	consumer->current = NULL;
	while (consumer->ibatch < consumer->nbatch)
		rd_kafka_message_destroy(consumer->batch[consumer->ibatch++]);
	consumer->nbatch = consumer->ibatch = 0;
}

/* Back to a state without partitions; the queue is emptied of what they left. */
static void
stop_all(KafkaConsumer *consumer)
{
	drop_batch(consumer);
	if (consumer->nparts > 0)
	{
		for (int i = 0; i < consumer->nparts; i++)
			stop_partition(consumer, &consumer->parts[i]);
		while ((consumer->nbatch = rd_kafka_consume_batch_queue(consumer->handle->messages, 0,
																consumer->batch,
																KAFKA_BATCH_SIZE)) > 0)
			drop_batch(consumer);
		consumer->nbatch = 0;
		KafkaConnectionForgetPartitions(consumer->handle);
	}
	consumer->nparts = 0;
}

static void
give_back(KafkaConsumer *consumer)
{
	if (consumer->handle == NULL)
		return;
	stop_all(consumer);
	KafkaConnectionCheckin(consumer->handle);
	consumer->handle = NULL;
	if (consumer->tail_handle)
		KafkaConnectionCheckin(consumer->tail_handle);
	consumer->tail_handle = NULL;
}

bool
KafkaConsumerRest(KafkaConsumer *consumer)
{
	if (KafkaConnectionConsumersOut() <= MANY_HANDLES)
		return false;
	give_back(consumer);
	return true;
}

void
KafkaConsumerResume(KafkaConsumer *consumer)
{
	if (consumer->handle == NULL)
		consumer->handle = KafkaConnectionCheckout(&consumer->server, KAFKA_HANDLE_SMALL);
}

/* The memory context's callback: whatever happened, the handle goes back clean. Must not throw. */
static void
release_consumer(void *arg)
{
	KafkaConsumer *consumer = (KafkaConsumer *) arg;

	if (consumer->closed)
		return;
	consumer->closed = true;
	give_back(consumer);
}

static KafkaConsumer *
open_consumer(const KafkaServer *server, const char *topic, bool read_committed,
			  KafkaHandleKind kind)
{
	KafkaConsumer *consumer = palloc0(sizeof(KafkaConsumer));

	consumer->cxt = CurrentMemoryContext;
	consumer->server = *server;
	consumer->server.read_committed = read_committed;
	consumer->topic = pstrdup(topic);
	consumer->tail_kind = KAFKA_HANDLE_TAIL;
	consumer->batch = palloc(KAFKA_BATCH_SIZE * sizeof(rd_kafka_message_t *));
	consumer->callback.func = release_consumer;
	consumer->callback.arg = consumer;
	MemoryContextRegisterResetCallback(consumer->cxt, &consumer->callback);
	consumer->witness = &consumer->own_witness;
	consumer->handle = KafkaConnectionCheckout(&consumer->server, kind);
	return consumer;
}

KafkaConsumer *
KafkaConsumerOpen(const KafkaServer *server, const char *topic, bool read_committed, bool tail)
{
	KafkaConsumer *consumer = open_consumer(server, topic, read_committed, KAFKA_HANDLE_SMALL);

	if (tail)
		consumer->tail_handle = KafkaConnectionCheckout(&consumer->server, consumer->tail_kind);
	return consumer;
}

KafkaConsumer *
KafkaConsumerOpenAhead(const KafkaServer *server, const char *topic, bool read_committed)
{
	KafkaConsumer *consumer = open_consumer(server, topic, read_committed, KAFKA_HANDLE_SMALL);

	consumer->tail_kind = KAFKA_HANDLE_AHEAD;
	consumer->tail_handle = KafkaConnectionCheckout(&consumer->server, consumer->tail_kind);
	return consumer;
}

KafkaConsumer *
KafkaConsumerOpenBulk(const KafkaServer *server, const char *topic, bool read_committed)
{
	return open_consumer(server, topic, read_committed, KAFKA_HANDLE_BULK);
}

void
KafkaConsumerClose(KafkaConsumer *consumer)
{
	release_consumer(consumer);
}

const KafkaCounters *
KafkaConsumerCounters(const KafkaConsumer *consumer)
{
	return &consumer->counters;
}

/* Fetch a partition from its "next" on. */
static void
start_partition(KafkaConsumer *consumer, ConsumerPartition *part)
{
	rd_kafka_topic_t *rkt = kafka_handle_topic(consumer->handle, consumer->topic);

	KafkaConnectionKeepPartition(consumer->handle, part->partition);
	if (rd_kafka_consume_start_queue(rkt, part->partition, part->next,
									 consumer->handle->messages) != 0)
		kafka_consumer_partition_error(consumer, part, rd_kafka_last_error(), NULL);
	part->from = part->next;
	part->event_next = 0;
	part->active = true;
	consumer->nactive++;
}

/*
 * From the snapshot's end on a partition is waited for as long as the tail's options say, and no
 * longer because its messages must be there.
 */
static void
note_tailing(KafkaConsumer *consumer, ConsumerPartition *part)
{
	if (part->tailing || part->done || part->next < part->tail_from)
		return;
	part->tailing = true;
	consumer->ntailing++;
}

static KafkaRange *
current_range(KafkaConsumer *consumer, ConsumerPartition *part)
{
	return &consumer->ranges[part->range];
}

/*
 * From where a range is fetched. Kafka refuses to start at an offset that it has not come to: a tail
 * that is to begin there reads from the snapshot's end, and what comes before the range is dropped.
 */
static int64
first_offset(const KafkaRange *range, const ConsumerPartition *part)
{
	return Min(range->start, Max(part->tail_from, part->next));
}

/* How many partitions to fetch at once: as the scan's size asks for; a tail needs all of them. */
static int
window_size(const KafkaConsumer *consumer)
{
	if (consumer->tail.wait_timeout != 0)
		return INT_MAX;
	return consumer->handle->kind == KAFKA_HANDLE_SMALL ? SMALL_WINDOW : BULK_WINDOW;
}

/* Keep as many partitions going. */
static void
fill_window(KafkaConsumer *consumer)
{
	int			window = window_size(consumer);

	while (consumer->nstarted < consumer->nparts && consumer->nactive < window)
		start_partition(consumer, &consumer->parts[consumer->nstarted++]);
}

/*
 * The same from the feed. Only while no message is under way that was taken from the queue before:
 * it may be one of the same partition, fetched for an earlier piece.
 */
static void
fill_from_feed(KafkaConsumer *consumer)
{
	int			window = window_size(consumer);
	KafkaRange	piece;

	while (consumer->nactive < window &&
		   consumer->feed.next_partition(consumer->feed.arg, &piece))
	{
		ConsumerPartition *part = &consumer->parts[piece.partition];

		if (!part->done)
			elog(ERROR, "partition %d of topic \"%s\" is being read already", part->partition,
				 consumer->topic);
		consumer->ranges[part->range] = piece;
		part->next = piece.start;
		part->heard = 0;
		part->done = false;
		consumer->ndone--;
		start_partition(consumer, part);
	}
}

/* Make the next range of a partition the current one; false where there is none. */
static bool
next_range(KafkaConsumer *consumer, ConsumerPartition *part)
{
	if (consumer->feed.next_piece)
		return consumer->feed.next_piece(consumer->feed.arg, part->partition,
										 current_range(consumer, part));
	if (part->range >= part->last_range)
		return false;
	part->range++;
	return true;
}

/*
 * The partition's present range is at its end: go to the next one, by reading on where that is
 * near, by a jump otherwise; or the partition is done.
 */
static void
finish_range(KafkaConsumer *consumer, ConsumerPartition *part)
{
	consumer->stall_since = 0;
	while (next_range(consumer, part))
	{
		KafkaRange *range = current_range(consumer, part);

		if (range->end <= part->next)
			continue;			/* passed already, by a gap in the offsets */
		if (first_offset(range, part) > part->next + SKIP_GAP)
		{
			stop_partition(consumer, part);
			part->next = first_offset(range, part);
			start_partition(consumer, part);
			consumer->jumped = consumer->received;
		}
		return;
	}
	stop_partition(consumer, part);
	part->done = true;
	consumer->ndone++;
	if (part->tailing)
		consumer->ntailing--;
	fill_window(consumer);
}

/* Go on with another handle. What was fetched ahead by the present one is fetched again. */
static void
switch_handle(KafkaConsumer *consumer, KafkaHandle *handle)
{
	KafkaHandle *before = consumer->handle;
	bool	   *was_active = MemoryContextAllocZero(consumer->cxt, Max(consumer->nparts, 1));

	for (int i = 0; i < consumer->nparts; i++)
	{
		was_active[i] = consumer->parts[i].active;
		stop_partition(consumer, &consumer->parts[i]);
	}
	while ((consumer->nbatch = rd_kafka_consume_batch_queue(before->messages, 0, consumer->batch,
															KAFKA_BATCH_SIZE)) > 0)
		drop_batch(consumer);
	consumer->nbatch = 0;
	consumer->handle = handle;
	KafkaConnectionCheckin(before);
	for (int i = 0; i < consumer->nparts; i++)
	{
		if (was_active[i])
			start_partition(consumer, &consumer->parts[i]);
	}
	pfree(was_active);
}

/*
 * A tail reads with a handle of its own, whose long polls would hold up any look-up: it comes in when
 * those are done, and goes where the same scan begins again with some.
 */
static void
choose_handle(KafkaConsumer *consumer, bool tail)
{
	KafkaHandle *handle;

	if (tail == (consumer->handle->kind == consumer->tail_kind))
		return;
	if (tail && consumer->tail_handle)
		handle = consumer->tail_handle;
	else
		handle = KafkaConnectionCheckout(&consumer->server,
										 tail ? consumer->tail_kind : KAFKA_HANDLE_SMALL);
	if (tail)
		consumer->tail_handle = NULL;
	switch_handle(consumer, handle);
}

/* A scan that has turned out to be long goes on with large fetches and more partitions at once. */
static void
move_to_bulk(KafkaConsumer *consumer)
{
	switch_handle(consumer, KafkaConnectionCheckout(&consumer->server, KAFKA_HANDLE_BULK));
	fill_window(consumer);
}

/* Begin anew, with room for so many ranges, in partitions up to one. */
static void
restart(KafkaConsumer *consumer, int nranges, int max_partition)
{
	stop_all(consumer);
	if (consumer->ranges)
	{
		pfree(consumer->ranges);
		pfree(consumer->parts);
		pfree(consumer->part_of);
		consumer->ranges = NULL;
	}
	memset(&consumer->tail, 0, sizeof(consumer->tail));
	memset(&consumer->feed, 0, sizeof(consumer->feed));
	consumer->nstarted = consumer->nactive = consumer->ndone = consumer->ntailing = 0;
	consumer->ncovered = 0;
	consumer->received = consumer->jumped = consumer->vouched = 0;
	consumer->kick_at = consumer->kick_bytes = PG_INT64_MAX;
	consumer->unkicked = consumer->presumed = consumer->doubtful = false;
	consumer->nap = 0;
	consumer->tail_since = consumer->wait_since = consumer->stall_since = consumer->wait_until = 0;
	consumer->max_partition = max_partition;

	consumer->ranges = MemoryContextAlloc(consumer->cxt, nranges * sizeof(KafkaRange));
	consumer->parts = MemoryContextAllocZero(consumer->cxt, nranges * sizeof(ConsumerPartition));
	for (int i = 0; i < nranges; i++)
		consumer->parts[i].broker = KAFKA_NO_BROKER;
	consumer->part_of = MemoryContextAlloc(consumer->cxt, (max_partition + 1) * sizeof(int));
	memset(consumer->part_of, -1, (max_partition + 1) * sizeof(int));
}

void
KafkaConsumerStartFed(KafkaConsumer *consumer, int npartitions, const KafkaFeed *feed)
{
	restart(consumer, npartitions, npartitions - 1);
	consumer->feed = *feed;
	for (int i = 0; i < npartitions; i++)
	{
		ConsumerPartition *part = &consumer->parts[i];

		part->partition = part->range = part->last_range = consumer->part_of[i] = i;
		part->tail_from = KAFKA_NO_END;
		part->done = true;
	}
	consumer->nparts = consumer->nstarted = consumer->ndone = npartitions;
	fill_from_feed(consumer);
}

/* Ranges are the caller's own: checked, so that a mistake there is not a wrong result here. */
static void
take_ranges(KafkaConsumer *consumer, const KafkaRange *ranges, int nranges)
{
	ConsumerPartition *part = NULL;

	restart(consumer, nranges, nranges > 0 ? ranges[nranges - 1].partition : -1);
	memcpy(consumer->ranges, ranges, nranges * sizeof(KafkaRange));
	for (int i = 0; i < nranges; i++)
	{
		if (ranges[i].partition < 0 || ranges[i].start < 0 || ranges[i].end <= ranges[i].start ||
			(part && (ranges[i].partition < part->partition ||
					  (ranges[i].partition == part->partition &&
					   ranges[i].start < ranges[i - 1].end))))
			elog(ERROR, "ranges of topic \"%s\" are not in order", consumer->topic);
		if (part && part->partition == ranges[i].partition)
			part->last_range = i;
		else
		{
			part = &consumer->parts[consumer->nparts];
			part->partition = ranges[i].partition;
			part->range = part->last_range = i;
			part->next = ranges[i].start;
			part->tail_from = KAFKA_NO_END;
			consumer->part_of[part->partition] = consumer->nparts++;
		}
	}
}

void
KafkaConsumerStart(KafkaConsumer *consumer, const KafkaRange *ranges, int nranges,
				   const KafkaTail *tail)
{
	take_ranges(consumer, ranges, nranges);
	if (tail)
		consumer->tail = *tail;
	choose_handle(consumer, consumer->tail.wait_timeout != 0);
	for (int i = 0; consumer->tail.wait_timeout != 0 && i < tail->snapshot->npartitions; i++)
	{
		KafkaPartition *seen = &tail->snapshot->partitions[i];
		ConsumerPartition *part;

		if (seen->partition > consumer->max_partition || consumer->part_of[seen->partition] < 0)
			continue;
		part = &consumer->parts[consumer->part_of[seen->partition]];
		part->tail_from = seen->end;
		part->next = Min(part->next, seen->end);
		note_tailing(consumer, part);
	}
	fill_window(consumer);
}

void
KafkaConsumerStartPresumed(KafkaConsumer *consumer, const KafkaRange *ranges, int nranges)
{
	take_ranges(consumer, ranges, nranges);
	choose_handle(consumer, false);
	consumer->presumed = true;
	while (consumer->nstarted < consumer->nparts)
		start_partition(consumer, &consumer->parts[consumer->nstarted++]);
}

bool
KafkaConsumerDoubts(const KafkaConsumer *consumer)
{
	return consumer->doubtful;
}

/*
 * An offset that is refused at the first fetch of a partition, though the topic's ends, which the scan
 * has just asked for, and which say the same now, include it: fetch it again. A topic that was made
 * moments ago is told of in that way, once in a while. Where something has come already, or is only
 * waited for, it is a proof that the log was shorter for a moment.
 */
static bool
fetch_again(KafkaConsumer *consumer, ConsumerPartition *part)
{
	KafkaPartition found;

	if (part->next != part->from || part->tailing || part->contradictions >= MAX_CONTRADICTIONS ||
		kafka_consumer_bounds(consumer, part->partition, consumer->server.metadata_timeout,
							  &found) != KAFKA_BOUNDS_FOUND ||
		part->next < found.low || part->next >= found.end)
		return false;
	part->contradictions++;
	stop_partition(consumer, part);
	start_partition(consumer, part);
	return true;
}

/*
 * The log no longer has the offset that was asked for. Where retention has moved on, the rows are
 * gone: they are counted, and the scan goes on behind them. Anything else is not the log that the
 * scan began on.
 */
static void
skip_truncated(KafkaConsumer *consumer, ConsumerPartition *part)
{
	int64		low;

	if (fetch_again(consumer, part))
		return;
	low = kafka_consumer_low(consumer, part->partition);
	if (low <= part->next)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("topic \"%s\" partition %d no longer reaches to offset " INT64_FORMAT,
						consumer->topic, part->partition, part->next),
				 errdetail("The partition was truncated, or the topic was deleted and made again, "
						   "while it was being read."),
				 errhint("Run the statement again.")));

	stop_partition(consumer, part);
	do
	{
		KafkaRange *range = current_range(consumer, part);
		int64		from = Max(range->start, part->next);
		int64		to = Min(range->end, low);

		if (to > from)
			consumer->counters.lost += to - from;
		if (to > from && consumer->tail.lost)
			consumer->tail.lost(consumer->tail.arg, part->partition, from, low);
	} while (current_range(consumer, part)->end <= low && next_range(consumer, part));
	part->next = low;
	if (low >= current_range(consumer, part)->end)
		finish_range(consumer, part);
	if (!part->done && !part->active)
	{
		part->next = Max(part->next, current_range(consumer, part)->start);
		start_partition(consumer, part);
	}
}

/* An entry of the queue that is not a message. */
static void
take_event(KafkaConsumer *consumer, ConsumerPartition *part, rd_kafka_message_t *rkm)
{
	rd_kafka_resp_err_t err = rkm->err;
	int64		offset = rkm->offset;
	char		errstr[256];

	strlcpy(errstr, rd_kafka_message_errstr(rkm), sizeof(errstr));
	rd_kafka_message_destroy(rkm);

	if (part == NULL || part->done || !part->active)
		return;
	part->event_next = Max(part->event_next, offset + 1);
	if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
	{
		if (offset < part->next)
			return;				/* from before a jump */
		part->next = offset;
		if (offset >= current_range(consumer, part)->end)
			finish_range(consumer, part);
		else
			note_tailing(consumer, part);
	}
	else if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
			 err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
		skip_truncated(consumer, part);
	else
		kafka_consumer_partition_error(consumer, part, err, errstr);
}

/* Take one entry of the batch; true where it is a message for the caller. */
static bool
take_entry(KafkaConsumer *consumer, rd_kafka_message_t *rkm, KafkaMessage *message)
{
	ConsumerPartition *part = NULL;
	KafkaRange *range;
	rd_kafka_timestamp_type_t tstype;

	if (rkm->partition >= 0 && rkm->partition <= consumer->max_partition &&
		consumer->part_of[rkm->partition] >= 0)
		part = &consumer->parts[consumer->part_of[rkm->partition]];
	if (unlikely(rkm->err))
	{
		take_event(consumer, part, rkm);
		return false;
	}

	consumer->received++;
	consumer->counters.messages++;
	consumer->counters.bytes += rkm->key_len + rkm->len;
	if (part == NULL || part->done || rkm->offset < part->next)
	{
		consumer->counters.discarded++;
		rd_kafka_message_destroy(rkm);
		return false;
	}

	/* A gap in the offsets may lead over the end of one range, or of several. */
	part->next = rkm->offset;
	range = current_range(consumer, part);
	while (rkm->offset >= range->end)
	{
		finish_range(consumer, part);
		if (part->done || part->next > rkm->offset)
			break;
		range = current_range(consumer, part);
	}
	if (part->done || rkm->offset < range->start || part->next > rkm->offset)
	{
		consumer->counters.discarded++;
		rd_kafka_message_destroy(rkm);
		return false;
	}

	if (unlikely(part->broker == KAFKA_NO_BROKER))
		part->broker = rd_kafka_message_broker_id(rkm);
	part->next = rkm->offset + 1;
	message->partition = rkm->partition;
	message->offset = rkm->offset;
	message->timestamp = rd_kafka_message_timestamp(rkm, &tstype);
	message->timestamp_type = tstype == RD_KAFKA_TIMESTAMP_CREATE_TIME ? KAFKA_TIMESTAMP_CREATE
		: tstype == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? KAFKA_TIMESTAMP_APPEND
		: KAFKA_TIMESTAMP_NONE;
	if (message->timestamp_type == KAFKA_TIMESTAMP_NONE || message->timestamp < 0)
		message->timestamp = KAFKA_NO_TIMESTAMP;
	message->key = rkm->key;
	message->keylen = rkm->key_len;
	message->value = rkm->payload;
	message->valuelen = rkm->len;
	message->origin = rkm;
	consumer->current = rkm;
	if (part->next >= range->end)
		finish_range(consumer, part);
	note_tailing(consumer, part);
	return true;
}

/*
 * The queue is empty. Ranges that end in transaction markers are recognised by the position, which
 * saves the long poll that would tell. From 2.1 on librdkafka counts an event in a batch as a message: after
 * the end of the partition at an offset it claims to be behind the message that is yet to come there.
 */
static void
check_positions(KafkaConsumer *consumer)
{
	rd_kafka_topic_partition_list_t *list;

	if (consumer->nactive == consumer->ntailing)
		return;
	list = rd_kafka_topic_partition_list_new(consumer->nactive);
	for (int i = 0; i < consumer->nstarted; i++)
	{
		if (consumer->parts[i].active)
			rd_kafka_topic_partition_list_add(list, consumer->topic, consumer->parts[i].partition);
	}
	rd_kafka_position(consumer->handle->rk, list);
	for (int i = 0; i < list->cnt; i++)
	{
		ConsumerPartition *part = &consumer->parts[consumer->part_of[list->elems[i].partition]];
		int64		position = list->elems[i].offset;

		if (list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR && position > part->next &&
			position != part->event_next)
			part->next = position;
		note_tailing(consumer, part);
	}
	rd_kafka_topic_partition_list_destroy(list);
	for (int i = 0; i < consumer->nstarted; i++)
	{
		ConsumerPartition *part = &consumer->parts[i];

		if (part->active && part->next >= current_range(consumer, part)->end)
			finish_range(consumer, part);
	}
}

/* What retention took while the scan ran is said once, when the rest has been read. */
static void
warn_of_lost(KafkaConsumer *consumer)
{
	if (consumer->counters.lost <= consumer->warned || consumer->feed.next_piece ||
		consumer->tail.lost)
		return;
	KafkaConsumerWarnOfLost(consumer->topic, consumer->counters.lost - consumer->warned);
	consumer->warned = consumer->counters.lost;
}

bool
KafkaConsumerNext(KafkaConsumer *consumer, KafkaMessage *message)
{
	if (consumer->current)
	{
		rd_kafka_message_destroy(consumer->current);
		consumer->current = NULL;
	}
	if (kafka_consumer_waited_enough(consumer))
	{
		warn_of_lost(consumer);
		return false;
	}
	if (unlikely(consumer->presumed))
		kafka_consumer_compare_presumed(consumer);
	if (unlikely(consumer->doubtful))
		return false;
	for (;;)
	{
		ssize_t		got;

		while (consumer->ibatch < consumer->nbatch)
		{
			rd_kafka_message_t *rkm = consumer->batch[consumer->ibatch++];

			if (unlikely(consumer->received >= consumer->kick_at ||
						 consumer->counters.bytes >= consumer->kick_bytes))
				kafka_consumer_kick(consumer, false);
			if (take_entry(consumer, rkm, message))
			{
				consumer->wait_since = 0;
				return true;
			}
		}
		consumer->ibatch = consumer->nbatch = 0;
		if (consumer->feed.next_partition)
			fill_from_feed(consumer);
		if (consumer->ndone == consumer->nparts)
		{
			warn_of_lost(consumer);
			return false;
		}

		CHECK_FOR_INTERRUPTS();
		if (consumer->handle->kind == KAFKA_HANDLE_SMALL &&
			consumer->received - consumer->jumped >= SMALL_SCAN)
			move_to_bulk(consumer);

		got = rd_kafka_consume_batch_queue(consumer->handle->messages, 0, consumer->batch,
										   KAFKA_BATCH_SIZE);
		if (got < 0)
			elog(ERROR, "could not take messages of topic \"%s\" from the queue: %s",
				 consumer->topic, rd_kafka_err2str(rd_kafka_last_error()));
		if (got > 0)
		{
			consumer->nbatch = (int) got;
			consumer->stall_since = 0;
			consumer->nap = 0;
			kafka_consumer_check_batch(consumer);
			kafka_consumer_plan_kick(consumer);
			kafka_consumer_look_around(consumer);
			continue;
		}

		check_positions(consumer);
		if (consumer->ndone == consumer->nparts)
			continue;
		if (consumer->ndone + consumer->ntailing < consumer->nparts
			? !kafka_consumer_wait_for_rest(consumer) : !kafka_consumer_wait_at_end(consumer))
		{
			warn_of_lost(consumer);
			return false;
		}
	}
}

bool
KafkaConsumerNextWithin(KafkaConsumer *consumer, KafkaMessage *message, int64 wait_ms,
						TimestampTz until)
{
	consumer->tail.wait_timeout = wait_ms;
	consumer->wait_until = until;
	consumer->wait_since = 0;
	return KafkaConsumerNext(consumer, message);
}

int64
KafkaConsumerPosition(const KafkaConsumer *consumer, int32 partition)
{
	const ConsumerPartition *part;

	if (partition > consumer->max_partition || consumer->part_of[partition] < 0)
		return -1;
	part = &consumer->parts[consumer->part_of[partition]];
	return part->done ? Max(part->next, consumer->ranges[part->last_range].end) : part->next;
}

void
KafkaConsumerSkip(KafkaConsumer *consumer, const KafkaMessage *message)
{
	ConsumerPartition *part = &consumer->parts[consumer->part_of[message->partition]];

	/* The message may have been the range's last. */
	if (!part->done && current_range(consumer, part)->start <= message->offset)
		finish_range(consumer, part);
}

int
KafkaConsumerHeaders(KafkaConsumer *consumer, const KafkaMessage *message, KafkaHeader **headers)
{
	rd_kafka_headers_t *list;
	rd_kafka_resp_err_t err;
	size_t		n;

	*headers = NULL;
	err = rd_kafka_message_headers((rd_kafka_message_t *) message->origin, &list);
	if (err == RD_KAFKA_RESP_ERR__NOENT)
		return 0;
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		ereport(ERROR,
				(errcode(KafkaConnectionSqlState(err)),
				 errmsg("could not read the headers of topic \"%s\" partition %d offset "
						INT64_FORMAT, consumer->topic, message->partition, message->offset),
				 errdetail_internal("%s.", KafkaConnectionCause(NULL, err, NULL))));
	n = rd_kafka_header_cnt(list);
	*headers = palloc(Max(n, 1) * sizeof(KafkaHeader));
	for (size_t i = 0; i < n; i++)
	{
		const void *value;
		size_t		len;

		(void) rd_kafka_header_get_all(list, i, &(*headers)[i].name, &value, &len);
		(*headers)[i].value = value;
		(*headers)[i].len = len;
	}
	return (int) n;
}
