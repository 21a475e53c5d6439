/*
 * ingest_fetch.c
 *		The messages of a topic from known offsets on, a batch at a time.
 *
 * Fetching waits for Kafka, so it is done before the transaction that stores a batch begins. A batch
 * ends when it is full, or old, or when the topic has nothing more to give for a moment: a lone
 * message is passed on at once, and while its transaction commits others gather for the next batch.
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "ingest_fetch.h"

#define QUIET_SHARE 50			/* of a batch's time: without a message for so long, it is passed
								 * on */

struct KafkaFetcher
{
	MemoryContext cxt;
	MemoryContext headers_cxt;	/* of one message's headers */
	KafkaTable *table;
	KafkaConsumer *consumer;
	bool		headers;		/* messages come with theirs */
	bool		follow;
	bool		(*stop) (void);
	int			share;			/* partitions whose number modulo "nshares" is this are read */
	int			nshares;
	bool		loss_is_error;
	bool		emptied;		/* since the last look there was a moment with nothing to take */
	KafkaSnapshot *snapshot;
	KafkaPlace *places;
	int			nplaces;
};

KafkaFetcher *
KafkaFetcherOpen(MemoryContext parent, Oid relid, Oid userid, bool headers, bool follow,
				 bool (*stop) (void))
{
	MemoryContext cxt = AllocSetContextCreate(parent, "kafka_fdw fetcher", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	KafkaFetcher *fetcher = palloc0(sizeof(KafkaFetcher));

	fetcher->cxt = cxt;
	fetcher->headers = headers || KafkaOptionMayShowHeaders(relid);
	fetcher->follow = follow;
	fetcher->stop = stop;
	fetcher->nshares = 1;
	fetcher->headers_cxt = AllocSetContextCreate(cxt, "kafka_fdw fetcher headers",
												 ALLOCSET_SMALL_SIZES);
	fetcher->table = KafkaOptionGetTable(relid, userid);
	KafkaOptionCheckTopic(fetcher->table->server, fetcher->table->topic);
	fetcher->consumer = follow
		? KafkaConsumerOpenAhead(fetcher->table->server, fetcher->table->topic,
								 fetcher->table->read_committed)
		: KafkaConsumerOpen(fetcher->table->server, fetcher->table->topic,
							fetcher->table->read_committed, false);
	MemoryContextSwitchTo(old);
	return fetcher;
}

void
KafkaFetcherShare(KafkaFetcher *fetcher, int number, int of)
{
	fetcher->share = number;
	fetcher->nshares = of;
}

/* True for partitions that this fetcher reads. */
static bool
is_ours(const KafkaFetcher *fetcher, int32 partition)
{
	return partition % fetcher->nshares == fetcher->share;
}

void
KafkaFetcherClose(KafkaFetcher *fetcher)
{
	MemoryContextDelete(fetcher->cxt);
}

const KafkaTable *
KafkaFetcherTable(const KafkaFetcher *fetcher)
{
	return fetcher->table;
}

bool
KafkaFetcherIsStale(const KafkaFetcher *fetcher)
{
	const KafkaTable *before = fetcher->table;
	KafkaTable *now;

	LockRelationOid(before->relid, AccessShareLock);
	if (get_rel_name(before->relid) == NULL)
		return true;
	now = KafkaOptionGetTable(before->relid, before->server->userid);
	return (!fetcher->headers && KafkaOptionMayShowHeaders(before->relid)) ||
		strcmp(before->topic, now->topic) != 0 ||
		before->read_committed != now->read_committed ||
		!KafkaOptionSameServer(before->server, now->server) ||
		!KafkaOptionTopicAllowed(now->server, now->topic);
}

static const KafkaPlace *
find_place(const KafkaPlace *places, int nplaces, int32 partition)
{
	for (int i = 0; i < nplaces; i++)
	{
		if (places[i].partition == partition)
			return &places[i];
	}
	return NULL;
}

/* ERROR, or WARNING, where offsets that were not taken yet are gone. */
static void
report_loss(const KafkaFetcher *fetcher, int32 partition, int64 from, int64 to)
{
	ereport(fetcher->loss_is_error ? ERROR : WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("offsets " INT64_FORMAT " to " INT64_FORMAT
					" of topic \"%s\" partition %d were deleted before they were read",
					from, to - 1, fetcher->table->topic, partition),
			 errdetail("The first offset that is left is " INT64_FORMAT ".", to),
			 fetcher->loss_is_error
			 ? errhint("To go on without them, use kafka_seek('...', '" INT64_FORMAT "', %d); "
					   "on_data_loss 'warning' does so by itself.", to, partition)
			 : 0));
}

int64
KafkaFetcherLogEnd(const KafkaTable *table, int32 partition)
{
	KafkaConsumer *probe = KafkaConsumerOpen(table->server, table->topic, false, false);
	KafkaSnapshot *high = KafkaConsumerSnapshot(probe);
	int64		end = 0;

	for (int i = 0; i < high->npartitions; i++)
	{
		if (high->partitions[i].partition == partition)
			end = high->partitions[i].end;
	}
	KafkaConsumerClose(probe);
	return end;
}

/*
 * The log ends before a place. Under read_committed the end may be that of an open transaction,
 * which was not looked at when the place was stored; then there is nothing wrong with it.
 */
static void
check_reaches(const KafkaFetcher *fetcher, const KafkaPlace *place)
{
	if (fetcher->table->read_committed &&
		place->next <= KafkaFetcherLogEnd(fetcher->table, place->partition))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("topic \"%s\" partition %d does not reach to offset " INT64_FORMAT,
					fetcher->table->topic, place->partition, place->next),
			 errdetail("Its end is at " INT64_FORMAT ". The topic was deleted and made again, "
					   "or has lost messages that were read.", place->end),
			 errhint("To read what is there now, use kafka_seek('...', 'earliest').")));
}

/* Kafka takes no partition away from a topic: one that is missing was another topic's. */
static void
check_partitions(const KafkaFetcher *fetcher, const KafkaPlace *places, int nplaces)
{
	for (int i = 0; i < nplaces; i++)
	{
		if (find_place(fetcher->places, fetcher->nplaces, places[i].partition) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("topic \"%s\" has no partition %d any more", fetcher->table->topic,
							places[i].partition),
					 errdetail("The topic was deleted and made again."),
					 errhint("To read what is there now, use kafka_seek('...', 'earliest').")));
	}
}

/* Where to begin in a partition of the topic, given where it was left. */
static KafkaPlace
make_place(const KafkaFetcher *fetcher, const KafkaPartition *seen, const KafkaPlace *left)
{
	KafkaPlace	place = {0};

	if (left)
		place = *left;
	else
		place.mark.offset = KAFKA_NO_MARK;
	place.partition = seen->partition;
	place.end = seen->end;
	place.behind_at = -1;
	place.stored = left != NULL;
	place.next = left ? left->next : seen->low;
	place.from = Max(place.next, seen->low);
	return place;
}

/*
 * Is the log the one that was read before? Where messages up to a place are gone, that has been said
 * already; what an open transaction keeps from us is not looked at; and where there is nothing to be
 * read and nobody waits for more, it is of no account.
 */
static void
check_marks(KafkaFetcher *fetcher)
{
	KafkaMarkCheck *checks = palloc((fetcher->nplaces + 1) * sizeof(KafkaMarkCheck));
	int			nchecks = 0;

	for (int i = 0, seen = 0; i < fetcher->nplaces; i++)
	{
		KafkaPlace *place = &fetcher->places[i];

		while (fetcher->snapshot->partitions[seen].partition != place->partition)
			seen++;
		if (place->mark.offset == KAFKA_NO_MARK || place->from > place->next ||
			place->mark.offset >= place->end || (!fetcher->follow && place->next >= place->end))
			continue;
		checks[nchecks].partition = place->partition;
		checks[nchecks].mark = place->mark;
		checks[nchecks].low = fetcher->snapshot->partitions[seen].low;
		checks[nchecks].gone = &place->unverified;
		nchecks++;
	}
	KafkaIngestCheckMarks(fetcher->consumer, fetcher->table->topic, checks, nchecks);
	pfree(checks);
}

/*
 * The consumer goes on behind offsets that retention took while it read; we do not, as a rule. Where
 * that is an error, the messages before them are not stored, either, and are as lost.
 */
static void
note_loss(void *arg, int32 partition, int64 from, int64 to)
{
	KafkaFetcher *fetcher = (KafkaFetcher *) arg;
	const KafkaPlace *place = find_place(fetcher->places, fetcher->nplaces, partition);

	report_loss(fetcher, partition, fetcher->loss_is_error ? place->next : from, to);
}

static void
start_consumer(KafkaFetcher *fetcher)
{
	KafkaRange *ranges = palloc(Max(fetcher->nplaces, 1) * sizeof(KafkaRange));
	int			nranges = 0;
	KafkaTail	tail = {0};

	for (int i = 0; i < fetcher->nplaces; i++)
	{
		KafkaPlace *place = &fetcher->places[i];

		ranges[nranges].partition = place->partition;
		ranges[nranges].start = place->from;
		ranges[nranges].end = fetcher->follow ? KAFKA_NO_END : place->end;
		if (ranges[nranges].start < ranges[nranges].end)
			nranges++;
	}
	tail.snapshot = fetcher->snapshot;
	tail.wait_timeout = fetcher->follow ? KAFKA_WAIT_FOREVER : 0;
	tail.max_wait = KAFKA_WAIT_UNLIMITED;
	tail.stop = fetcher->stop;
	tail.lost = note_loss;
	tail.arg = fetcher;
	KafkaConsumerStart(fetcher->consumer, ranges, nranges, &tail);
	pfree(ranges);
}

void
KafkaFetcherStart(KafkaFetcher *fetcher, const KafkaPlace *places, int nplaces,
				  bool loss_is_error)
{
	MemoryContext old = MemoryContextSwitchTo(fetcher->cxt);

	fetcher->loss_is_error = loss_is_error;
	fetcher->snapshot = KafkaConsumerSnapshot(fetcher->consumer);
	fetcher->nplaces = 0;
	fetcher->places = palloc(Max(fetcher->snapshot->npartitions, 1) * sizeof(KafkaPlace));
	for (int i = 0; i < fetcher->snapshot->npartitions; i++)
	{
		KafkaPartition *seen = &fetcher->snapshot->partitions[i];
		KafkaPlace *place = &fetcher->places[fetcher->nplaces];

		if (!is_ours(fetcher, seen->partition))
			continue;
		fetcher->nplaces++;
		*place = make_place(fetcher, seen, find_place(places, nplaces, seen->partition));
		if (place->next < seen->low)
			report_loss(fetcher, seen->partition, place->next, seen->low);
		else if (place->next > seen->end)
			check_reaches(fetcher, place);
	}
	check_partitions(fetcher, places, nplaces);
	check_marks(fetcher);
	start_consumer(fetcher);
	MemoryContextSwitchTo(old);
}

static void
add_message(KafkaFetcher *fetcher, KafkaIngestBatch *batch, const KafkaMessage *message)
{
	KafkaHeader *headers = NULL;
	int			nheaders = 0;

	if (fetcher->headers)
	{
		MemoryContext old = MemoryContextSwitchTo(fetcher->headers_cxt);

		nheaders = KafkaConsumerHeaders(fetcher->consumer, message, &headers);
		MemoryContextSwitchTo(old);
	}
	KafkaIngestBatchAdd(batch, message, headers, nheaders);
	if (headers)
		MemoryContextReset(fetcher->headers_cxt);
}

static bool
next_message(KafkaFetcher *fetcher, KafkaMessage *message, int64 wait_ms, TimestampTz until)
{
	if (fetcher->follow)
		return KafkaConsumerNextWithin(fetcher->consumer, message, wait_ms, until);
	return KafkaConsumerNext(fetcher->consumer, message);
}

void
KafkaFetcherFetch(KafkaFetcher *fetcher, const KafkaIngestLimits *limits, KafkaIngestBatch *batch)
{
	MemoryContext old = MemoryContextSwitchTo(fetcher->cxt);
	int64		wait_ms = limits->wait;
	TimestampTz until = 0;
	KafkaMessage message;

	for (;;)
	{
		if (!next_message(fetcher, &message, wait_ms, until))
		{
			fetcher->emptied = true;
			break;
		}
		if (until == 0)
		{
			until = GetCurrentTimestamp() + (TimestampTz) limits->timeout * 1000;
			wait_ms = limits->timeout / QUIET_SHARE;
		}
		add_message(fetcher, batch, &message);
		if (KafkaIngestBatchCount(batch) >= limits->messages ||
			KafkaIngestBatchBytes(batch) >= limits->bytes)
			break;
		/* Where messages are waited for, the consumer looks at the clock. */
		if (fetcher->follow && KafkaIngestBatchCount(batch) % 64 == 0 &&
			GetCurrentTimestamp() >= until)
			break;
	}
	MemoryContextSwitchTo(old);
}

const KafkaPlace *
KafkaFetcherPlaces(const KafkaFetcher *fetcher, int *nplaces)
{
	*nplaces = fetcher->nplaces;
	return fetcher->places;
}

int64
KafkaFetcherPosition(const KafkaFetcher *fetcher, int i)
{
	const KafkaPlace *place = &fetcher->places[i];

	/* A place beyond the end is read from the end on, or not at all: see KafkaConsumerStart. */
	return Max(KafkaConsumerPosition(fetcher->consumer, place->partition), place->from);
}

void
KafkaFetcherLocate(KafkaFetcher *fetcher, int i, ItemPointer row)
{
	fetcher->places[i].row = *row;
}

void
KafkaFetcherAdvance(KafkaFetcher *fetcher)
{
	for (int i = 0; i < fetcher->nplaces; i++)
	{
		KafkaPlace *place = &fetcher->places[i];

		place->next = place->from = KafkaFetcherPosition(fetcher, i);
		place->end = Max(place->end, place->next);
		place->stored = true;
	}
}

/*
 * A leader that is frozen, or behind a network that drops what it should deliver, answers neither with
 * messages nor with an error, for as long as librdkafka waits for an answer (a minute); and until then
 * nobody asks who else leads. Who is behind with other messages is not meant.
 */
bool
KafkaFetcherLook(KafkaFetcher *fetcher)
{
	KafkaConsumer *probe = KafkaConsumerOpen(fetcher->table->server, fetcher->table->topic,
											 fetcher->table->read_committed, false);
	KafkaSnapshot *now = KafkaConsumerSnapshot(probe);
	bool		emptied = fetcher->emptied;
	int			n = 0;

	KafkaConsumerClose(probe);
	fetcher->emptied = false;
	for (int i = 0; i < now->npartitions; i++)
	{
		KafkaPartition *seen = &now->partitions[i];
		KafkaPlace *place = &fetcher->places[n];
		int64		position;

		if (!is_ours(fetcher, seen->partition))
			continue;
		if (n >= fetcher->nplaces || seen->partition != place->partition)
			return false;
		position = KafkaFetcherPosition(fetcher, n);
		if (emptied && place->behind_at == position)
			return false;
		place->behind_at = position < seen->end ? position : -1;
		place->end = Max(seen->end, place->next);
		n++;
	}
	return n == fetcher->nplaces;
}
