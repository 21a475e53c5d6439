/*
 * ingest_fetch.h
 *		The messages of a topic from known offsets on, a batch at a time.
 */
#ifndef KAFKA_INGEST_FETCH_H
#define KAFKA_INGEST_FETCH_H

#include "storage/itemptr.h"

#include "consumer.h"
#include "ingest_batch.h"
#include "ingest_mark.h"

typedef struct KafkaFetcher KafkaFetcher;

/* A partition, and how far it has been taken. */
typedef struct KafkaPlace
{
	int32		partition;
	int64		next;			/* the first offset that has not been taken */
	int64		from;			/* where reading began: behind "next" where retention was faster */
	int64		end;			/* the partition's end, as of the last look at it */
	int64		behind_at;		/* "next" then, if the end lay behind it; else -1 */
	bool		stored;			/* "next" is in the catalogue; else the partition is new */
	ItemPointerData row;		/* where in the catalogue, as of the last look at it */
	KafkaMark	mark;			/* of the last message before "next" */
	bool		unverified;		/* the mark was not found any more */
} KafkaPlace;

/* When a batch is complete. */
typedef struct KafkaIngestLimits
{
	int			messages;
	Size		bytes;
	int			timeout;		/* ms from its first message */
	int			wait;			/* ms to wait for that; 0: what is there now makes the batch */
} KafkaIngestLimits;

/*
 * A reader of a foreign table's topic for one role, in a context of its own below the given one.
 * "headers": they are wanted though the table shows none; librdkafka takes a tenth of a batch's time to
 * say that there are none. "follow": it is to wait at the end; "stop", which may be NULL, is asked
 * there, and ends the wait by returning true. Needs a transaction; contacts nobody yet.
 */
extern KafkaFetcher *KafkaFetcherOpen(MemoryContext parent, Oid relid, Oid userid, bool headers,
									  bool follow, bool (*stop) (void));
extern void KafkaFetcherClose(KafkaFetcher *fetcher);

/*
 * True where the table's options, its server or the user mapping have become others, it shows headers that
 * were not fetched, or is gone. If not, it stays so until the transaction ends, as far as the table goes.
 */
extern bool KafkaFetcherIsStale(const KafkaFetcher *fetcher);

/* The end of a partition as one sees it who sees open transactions, too; asks Kafka. */
extern int64 KafkaFetcherLogEnd(const KafkaTable *table, int32 partition);

/*
 * Before it starts: read a share of the partitions alone, those whose number modulo "of" is "number".
 * The places are then of these.
 */
extern void KafkaFetcherShare(KafkaFetcher *fetcher, int number, int of);

/*
 * Begin at these places, ascending by partition. Partitions of the topic that are not among them
 * are taken from their first offset on. Needs no transaction. Errors: as those of a scan; 55000 where
 * messages from a place on are gone, unless "loss_is_error" is false: then it is a WARNING, and the
 * next offset is the first that is left; and 55000, always, where the log does not reach to a place, or
 * has another message where a mark is. Where one is gone, the place is "unverified", with a WARNING if
 * it was not before.
 */
extern void KafkaFetcherStart(KafkaFetcher *fetcher, const KafkaPlace *places, int nplaces,
							  bool loss_is_error);

/*
 * Add the next batch to an empty one, which may stay empty. The messages of each partition come in
 * their order. Needs no transaction where the fetcher follows.
 */
extern void KafkaFetcherFetch(KafkaFetcher *fetcher, const KafkaIngestLimits *limits,
							  KafkaIngestBatch *batch);

/*
 * The places behind what was fetched, and behind what is no message: to be stored with the batch.
 * "next" of the places themselves stays what it was at the last KafkaFetcherAdvance().
 */
extern const KafkaPlace *KafkaFetcherPlaces(const KafkaFetcher *fetcher, int *nplaces);
extern int64 KafkaFetcherPosition(const KafkaFetcher *fetcher, int i);

/* Note where the catalogue has a place. */
extern void KafkaFetcherLocate(KafkaFetcher *fetcher, int i, ItemPointer row);

/* What was fetched is stored. */
extern void KafkaFetcherAdvance(KafkaFetcher *fetcher);

/*
 * Look at the topic again: the ends of its partitions. False where a fetcher has to be opened anew: the
 * topic has other partitions than before, or one of them has given nothing since the last look though it
 * had something by then. Needs no transaction.
 */
extern bool KafkaFetcherLook(KafkaFetcher *fetcher);

extern const KafkaTable *KafkaFetcherTable(const KafkaFetcher *fetcher);

#endif							/* KAFKA_INGEST_FETCH_H */
