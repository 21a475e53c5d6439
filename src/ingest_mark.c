/*
 * ingest_mark.c
 *		Is the log still the one that a subscription has read?
 *
 * A topic that was deleted and made again has, to librdkafka 2.0.2, nothing that tells it from the old
 * one: offsets that were stored would go on in the middle of other messages. So the last message that
 * was taken is remembered by a hash, and whoever begins to read looks whether it is still in its place.
 * Where retention or compaction has taken it, nobody can tell.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "ingest_mark.h"

void
KafkaIngestMarks(const KafkaIngestBatch *batch, const int32 *partitions, KafkaMark *marks,
				 int npartitions)
{
	int			last = npartitions > 0 ? partitions[npartitions - 1] : -1;
	KafkaMark **wanted = palloc0((last + 1) * sizeof(KafkaMark *));
	int			nwanted = npartitions;

	for (int i = 0; i < npartitions; i++)
	{
		marks[i].offset = KAFKA_NO_MARK;
		wanted[partitions[i]] = &marks[i];
	}
	for (int i = KafkaIngestBatchCount(batch) - 1; i >= 0 && nwanted > 0; i--)
	{
		const KafkaMessage *message = KafkaIngestBatchMessage(batch, i);
		KafkaMark  *mark = message->partition <= last ? wanted[message->partition] : NULL;

		if (mark == NULL)
			continue;
		mark->offset = message->offset;
		mark->timestamp = message->timestamp;
		mark->hash = KafkaConsumerHash(message);
		wanted[message->partition] = NULL;
		nwanted--;
	}
	pfree(wanted);
}

static const char *
time_of(int64 timestamp)
{
	return timestamp == KAFKA_NO_TIMESTAMP ? "no time"
		: pstrdup(timestamptz_to_str(kafka_ms_to_timestamptz(timestamp)));
}

/* ERROR where it is another message. */
static void
compare(const char *topic, const KafkaMarkCheck *check, const KafkaMessage *message)
{
	if (KafkaConsumerHash(message) == check->mark.hash)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("topic \"%s\" partition %d has another message at offset " INT64_FORMAT
					" than the one that was taken", topic, check->partition, check->mark.offset),
			 errdetail("That one was of %s, this one is of %s. The topic was deleted and made again, "
					   "or has lost messages that were read.",
					   time_of(check->mark.timestamp), time_of(message->timestamp)),
			 errhint("To read what is there now, use kafka_seek('...', 'earliest').")));
}

static void
report_gone(const char *topic, const KafkaMarkCheck *check)
{
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("topic \"%s\" partition %d no longer has the message at offset " INT64_FORMAT
					", the last one that was taken", topic, check->partition, check->mark.offset),
			 errdetail("Retention or compaction has deleted it, or the topic was deleted and made "
					   "again: the two cannot be told apart."),
			 errhint("If the topic is another one, use kafka_seek('...', 'earliest').")));
}

void
KafkaIngestCheckMarks(KafkaConsumer *consumer, const char *topic, KafkaMarkCheck *checks, int nchecks)
{
	KafkaRange *ranges = palloc((nchecks + 1) * sizeof(KafkaRange));
	bool	   *found = palloc0((nchecks + 1) * sizeof(bool));
	int			nranges = 0;
	KafkaMessage message;

	for (int i = 0; i < nchecks; i++)
	{
		if (checks[i].mark.offset < checks[i].low)
			continue;
		ranges[nranges].partition = checks[i].partition;
		ranges[nranges].start = checks[i].mark.offset;
		ranges[nranges++].end = checks[i].mark.offset + 1;
	}
	if (nranges > 0)
		KafkaConsumerStart(consumer, ranges, nranges, NULL);
	while (nranges > 0 && KafkaConsumerNext(consumer, &message))
	{
		int			i = 0;

		while (checks[i].partition != message.partition)
			i++;
		compare(topic, &checks[i], &message);
		found[i] = true;
	}
	for (int i = 0; i < nchecks; i++)
	{
		if (!found[i] && !*checks[i].gone)
			report_gone(topic, &checks[i]);
		*checks[i].gone = !found[i];
	}
	pfree(ranges);
	pfree(found);
}
