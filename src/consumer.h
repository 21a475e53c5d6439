/*
 * consumer.h
 *		Ranges of offsets in, messages out.
 *
 * No type of librdkafka is seen here, so that another reader of Kafka's protocol could take its
 * place. A consumer reads one topic. It hangs on the memory context that it was opened in and
 * gives everything back when that is reset, on error too.
 */
#ifndef KAFKA_CONSUMER_H
#define KAFKA_CONSUMER_H

#include "datatype/timestamp.h"

#include "compat.h"
#include "message.h"
#include "option.h"

#define KAFKA_NO_END PG_INT64_MAX	/* a range's end: read on as messages come */

typedef struct KafkaConsumer KafkaConsumer;

/* What a partition held when it was looked at. */
typedef struct KafkaPartition
{
	int32		partition;
	int64		low;			/* the first offset there is */
	int64		end;			/* the next offset that a reader at this isolation level would see */
} KafkaPartition;

/* A message that was read, by which the log is known again. */
typedef struct KafkaWitness
{
	bool		known;			/* there is one */
	int32		partition;
	int64		offset;
	uint64		hash;			/* of what it holds */
	TimestampTz looked;			/* when it was last seen ... */
	int64		interval;		/* ... and after how many ms to look again */
} KafkaWitness;

/* A topic at one moment: where its scans start and end. */
typedef struct KafkaSnapshot
{
	int			npartitions;
	KafkaPartition *partitions; /* ascending by partition */
	KafkaWitness witness;		/* of those who read it */
} KafkaSnapshot;

typedef struct KafkaRange
{
	int32		partition;
	int64		start;			/* inclusive */
	int64		end;			/* exclusive; KAFKA_NO_END */
} KafkaRange;

/* How long to wait for messages that are not there yet; times in ms, see KafkaTable. */
typedef struct KafkaTail
{
	const KafkaSnapshot *snapshot;	/* up to its ends there is nothing to wait for */
	int64		wait_timeout;	/* 0: no tail */
	int64		max_wait;
	bool		(*before_wait) (void *arg); /* called before each wait at the end, and again soon
											 * where it returns true; may be NULL */
	void	   *arg;
	bool		(*stop) (void); /* asked before each wait at the end: true ends it as a wait does
								 * that has taken long enough; may be NULL */

	/*
	 * Told of offsets that retention took while they were being read, in place of a WARNING when
	 * the rest has been read; may throw, and may be NULL.
	 */
	void		(*lost) (void *arg, int32 partition, int64 from, int64 to);
} KafkaTail;

/*
 * Where a scan that shares its ranges with other processes gets them from, a piece at a time, as it
 * comes to need them. Neither function may throw.
 */
typedef struct KafkaFeed
{
	/*
	 * The next piece of a partition that is being read, behind those that came before it; false
	 * where there is none, and then the partition is let go of.
	 */
	bool		(*next_piece) (void *arg, int32 partition, KafkaRange *piece);

	/*
	 * A piece of a partition that is not being read, anywhere in it; false where there is none at
	 * the moment. Where no partition is being read, that is the end of the scan.
	 */
	bool		(*next_partition) (void *arg, KafkaRange *piece);
	void	   *arg;
} KafkaFeed;

/* What a scan did, for EXPLAIN ANALYZE. */
typedef struct KafkaCounters
{
	int64		messages;		/* received */
	int64		bytes;			/* keys and values of these */
	int64		discarded;		/* of them outside the ranges */
	int64		lost;			/* offsets that retention took away during the scan */
	int64		skipped;		/* rows left out by on_error; the scan's to count */
	int64		waited_us;		/* time spent waiting for Kafka */
} KafkaCounters;

/* A lookup by time: the first offset whose message is not older than "time". */
typedef struct KafkaTimeLookup
{
	int32		partition;
	int64		time;			/* ms since 1970 */
	int64		offset;			/* out; KAFKA_NO_END where no message is as young */
} KafkaTimeLookup;

/*
 * A consumer for a topic of a server, allocated in the current memory context. "tail" says that the
 * scan will wait at the end. Contacts nobody yet.
 */
extern KafkaConsumer *KafkaConsumerOpen(const KafkaServer *server, const char *topic,
										bool read_committed, bool tail);

/* The same for a tail whose reader takes thousands of messages, and then none while he stores them. */
extern KafkaConsumer *KafkaConsumerOpenAhead(const KafkaServer *server, const char *topic,
											 bool read_committed);

/* The same for a scan that is known to be long, as a worker's share of one is. */
extern KafkaConsumer *KafkaConsumerOpenBulk(const KafkaServer *server, const char *topic,
											bool read_committed);

/*
 * Give the handle back for as long as nothing is to be read, where this session has many out; true if so.
 * Until it is resumed such a consumer can be asked for its counters, and be closed.
 */
extern bool KafkaConsumerRest(KafkaConsumer *consumer);
extern void KafkaConsumerResume(KafkaConsumer *consumer);

/* Give everything back before the memory context does. */
extern void KafkaConsumerClose(KafkaConsumer *consumer);

/*
 * The topic's partitions with their first offsets and ends, allocated in the current context. One
 * request a broker and kind. Errors: 42P01 for an unknown topic, with a hint that names the
 * nearest; 08xxx, 28000, 42501 by cause.
 */
extern KafkaSnapshot *KafkaConsumerSnapshot(KafkaConsumer *consumer);

/*
 * Read the log that those read who hold to the same snapshot, which has to outlive the consumer: where
 * the topic is made again meanwhile, Next is an ERROR. A consumer that was not told so minds only what
 * it has read itself.
 */
extern void KafkaConsumerHoldTo(KafkaConsumer *consumer, KafkaSnapshot *snapshot);

/* Look offsets up by time: one request a broker for all partitions of one time. */
extern void KafkaConsumerOffsetsForTimes(KafkaConsumer *consumer, KafkaTimeLookup *lookups,
										 int nlookups);

/*
 * Begin to read: the ranges are ascending by partition and start, and do not overlap. What was
 * being read before is dropped. The array is copied.
 */
extern void KafkaConsumerStart(KafkaConsumer *consumer, const KafkaRange *ranges, int nranges,
							   const KafkaTail *tail);

/*
 * The same for ranges that were not compared with what the topic holds, which saves three round
 * trips where few messages are read. True where the partition is one that an earlier look-up of this
 * backend has seen, so that it can be read at all. Nothing is delivered before all of it is there:
 * where a range turns out to begin or end elsewhere, or to come slowly, Next returns false and Doubts
 * true, and the ranges have to be looked up and started after all.
 */
extern bool KafkaConsumerKnows(const KafkaConsumer *consumer, int32 partition);
extern void KafkaConsumerStartPresumed(KafkaConsumer *consumer, const KafkaRange *ranges,
									   int nranges);
extern bool KafkaConsumerDoubts(const KafkaConsumer *consumer);

/*
 * The same for ranges that come from a feed, in partitions below npartitions. Offsets that are lost
 * to retention are only counted: the caller warns of them, by the other function, once for all.
 */
extern void KafkaConsumerStartFed(KafkaConsumer *consumer, int npartitions, const KafkaFeed *feed);
extern void KafkaConsumerWarnOfLost(const char *topic, int64 lost);

/*
 * The next message, false when every range is at its end (or the tail's wait has run out). Within
 * a partition messages come in the order of their offsets. What cannot be read is an ERROR that
 * names topic, partition and offset; rows that retention deleted meanwhile give a WARNING that
 * counts them.
 */
extern bool KafkaConsumerNext(KafkaConsumer *consumer, KafkaMessage *message);

/*
 * The same of a tail, waiting at the end for so many ms at most (0: not at all), and for messages that
 * there must be not beyond a point in time (0: as always). False does not end it, the next call goes on.
 */
extern bool KafkaConsumerNextWithin(KafkaConsumer *consumer, KafkaMessage *message, int64 wait_ms,
									TimestampTz until);

/*
 * Where a partition's reader is: every message before that offset has been returned, or does not
 * exist, or is outside the ranges. -1 for a partition that is not read.
 */
extern int64 KafkaConsumerPosition(const KafkaConsumer *consumer, int32 partition);

/*
 * Read no more of the range that a message, the one that Next returned last, is of; other ranges of
 * its partition follow as always.
 */
extern void KafkaConsumerSkip(KafkaConsumer *consumer, const KafkaMessage *message);

/* The headers of the message that Next returned last; the array is palloc'd, their bytes are not. */
extern int	KafkaConsumerHeaders(KafkaConsumer *consumer, const KafkaMessage *message,
								 KafkaHeader **headers);

/*
 * What tells a message from another at the same offset: of its timestamp and of its first bytes. It is
 * stored, and so must stay the same.
 */
extern uint64 KafkaConsumerHash(const KafkaMessage *message);

extern const KafkaCounters *KafkaConsumerCounters(const KafkaConsumer *consumer);

/*
 * The names of all topics of a server, sorted, as a List of char *; internal ones (as
 * __consumer_offsets) only where asked for. Creates no topic. The number of partitions of each goes
 * to *npartitions (a List of int) where that is not NULL.
 */
extern List *KafkaConsumerTopics(const KafkaServer *server, bool internal, List **npartitions);

/*
 * ERROR 42P01 for a topic that does not exist, with a hint that names the nearest one and
 * kafka_create_topic.
 */
pg_noreturn extern void KafkaConsumerUnknownTopic(const KafkaServer *server, const char *topic);

#endif							/* KAFKA_CONSUMER_H */
