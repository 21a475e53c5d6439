/*
 * consumer_witness.c
 *		Is the log still the one that the scan began on?
 *
 * A topic that is deleted and made again under a scan is, to librdkafka 2.0.2, the same topic: it goes
 * on at the same offset in the new log, and rows of both would be one result. Nothing in its interface
 * tells the two apart, so a scan keeps a *witness*, a message that it has read, and looks from time to
 * time whether the message is still where it was. If it is, what was fetched before the look is of the
 * same log, and may be delivered. A partition that was truncated is found out in the same way.
 *
 * The look is one fetch by another handle, which a scan of some length has left idle. It is due with
 * the first batch after MIN_INTERVAL_MS; a topic that is made again, and filled beyond the place where
 * the scan stands, in less time than that is not noticed. All scans of a topic in one statement share a
 * witness.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "consumer_private.h"

#define MIN_INTERVAL_MS 100		/* between two looks ... */
#define TAIL_INTERVAL_MS 1000	/* ... of a tail, which does it while it has nothing else to do
								 * ... */
#define COST_FACTOR 20			/* ... and at least so many times what the last one took */
#define FIRST_FACTOR 5			/* the first look costs no more than one more look-up or two */
#define PATIENCE_MS 1000		/* how long to wait for the answer */
#define HASHED_BYTES 4096		/* of a key and a value */

typedef enum Verdict
{
	VERDICT_SAME,				/* the message is there */
	VERDICT_OTHER,				/* another one is, or the log is shorter */
	VERDICT_NO_TOPIC,
	VERDICT_GONE,				/* retention or compaction took it */
	VERDICT_UNKNOWN				/* nobody answered */
} Verdict;

static int64
ms_since(TimestampTz since, TimestampTz now)
{
	return now > since ? (now - since) / 1000 : 0;
}

static uint64
hash_part(const void *data, size_t len, uint64 seed)
{
	if (data == NULL)
		return hash_combine64(seed, 1);
	return hash_combine64(hash_bytes_extended(data, (int) Min(len, HASHED_BYTES), seed), len);
}

static uint64
hash_message(const rd_kafka_message_t *rkm)
{
	uint64		seed = (uint64) rd_kafka_message_timestamp(rkm, NULL);

	return hash_part(rkm->payload, rkm->len, hash_part(rkm->key, rkm->key_len, seed));
}

uint64
KafkaConsumerHash(const KafkaMessage *message)
{
	return hash_part(message->value, message->valuelen,
					 hash_part(message->key, message->keylen, (uint64) message->timestamp));
}

/* Have the last message of the batch just taken for a witness from now on, if it has any. */
static void
call_witness(KafkaConsumer *consumer, TimestampTz now)
{
	KafkaWitness *witness = consumer->witness;

	for (int i = consumer->nbatch - 1; i >= consumer->ibatch; i--)
	{
		const rd_kafka_message_t *rkm = consumer->batch[i];

		if (rkm->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		if (!witness->known)
		{
			witness->looked = now;
			witness->interval = Max(MIN_INTERVAL_MS, FIRST_FACTOR * consumer->handle->call_ms);
		}
		witness->known = true;
		witness->partition = rkm->partition;
		witness->offset = rkm->offset;
		witness->hash = hash_message(rkm);
		return;
	}
}

static Verdict
compare(const KafkaWitness *witness, const KafkaMessage *message)
{
	return hash_message((rd_kafka_message_t *) message->origin) == witness->hash
		? VERDICT_SAME : VERDICT_OTHER;
}

/* Fetch the message, from a partition that may have been seen before. */
static Verdict
look_again(KafkaConsumer *asker, const KafkaWitness *witness)
{
	KafkaRange	range = {witness->partition, witness->offset, witness->offset + 1};
	KafkaPartition found;
	KafkaMessage message;

	if (KafkaConsumerKnows(asker, witness->partition))
	{
		KafkaConsumerStartPresumed(asker, &range, 1);
		if (KafkaConsumerNext(asker, &message))
			return compare(witness, &message);
		if (!KafkaConsumerDoubts(asker))
			return VERDICT_GONE;
	}

	switch (kafka_consumer_bounds(asker, witness->partition, PATIENCE_MS, &found))
	{
		case KAFKA_BOUNDS_NO_TOPIC:
			return VERDICT_NO_TOPIC;
		case KAFKA_BOUNDS_NO_PARTITION:
			return VERDICT_OTHER;
		case KAFKA_BOUNDS_UNKNOWN:
			return VERDICT_UNKNOWN;
		case KAFKA_BOUNDS_FOUND:
			break;
	}
	if (witness->offset >= found.end)
		return VERDICT_OTHER;
	if (witness->offset < found.low)
		return VERDICT_GONE;
	KafkaConsumerStart(asker, &range, 1, NULL);
	return KafkaConsumerNext(asker, &message) ? compare(witness, &message) : VERDICT_GONE;
}

/* Look, and raise what is wrong. */
static Verdict
look(KafkaConsumer *consumer)
{
	KafkaWitness *witness = consumer->witness;
	MemoryContext cxt = AllocSetContextCreate(consumer->cxt, "kafka_fdw witness",
											  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	TimestampTz start = GetCurrentTimestamp();
	Verdict		verdict;

	verdict = look_again(KafkaConsumerOpen(&consumer->server, consumer->topic,
										   consumer->server.read_committed, false), witness);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);

	if (verdict == VERDICT_NO_TOPIC)
		KafkaConsumerUnknownTopic(&consumer->server, consumer->topic);
	if (verdict == VERDICT_OTHER)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("topic \"%s\" partition %d no longer has the message that was read at offset "
						INT64_FORMAT, consumer->topic, witness->partition, witness->offset),
				 errdetail("The topic was deleted and made again, or the partition was truncated, "
						   "while it was being read."),
				 errhint("Run the statement again.")));
	witness->looked = GetCurrentTimestamp();
	witness->interval = Max(MIN_INTERVAL_MS, COST_FACTOR * ms_since(start, witness->looked));
	if (verdict == VERDICT_GONE)
		witness->known = false;
	consumer->vouched = consumer->received;
	return verdict;
}

void
kafka_consumer_check_batch(KafkaConsumer *consumer)
{
	KafkaWitness *witness = consumer->witness;
	TimestampTz now = GetCurrentTimestamp();

	if (witness->known)
	{
		/* A tail's rows are not to wait for this. */
		if (consumer->ndone + consumer->ntailing >= consumer->nparts ||
			ms_since(witness->looked, now) < witness->interval)
			return;
		if (look(consumer) == VERDICT_UNKNOWN)
			return;
	}
	call_witness(consumer, now);
}

void
kafka_consumer_check_tail(KafkaConsumer *consumer)
{
	KafkaWitness *witness = consumer->witness;

	if (witness->known && consumer->received > consumer->vouched &&
		ms_since(witness->looked, GetCurrentTimestamp()) >= Max(witness->interval,
																TAIL_INTERVAL_MS))
		(void) look(consumer);
}

void
kafka_consumer_check_silence(KafkaConsumer *consumer)
{
	if (consumer->witness->known)
		(void) look(consumer);
}

void
KafkaConsumerHoldTo(KafkaConsumer *consumer, KafkaSnapshot *snapshot)
{
	consumer->witness = &snapshot->witness;
}
