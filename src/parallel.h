/*
 * parallel.h
 *		A scan's ranges, shared by the processes of a parallel query.
 *
 * The leader puts what is to be read into shared memory; it and its workers then take pieces until
 * nothing is left, each message in exactly one of them. How many workers come, and when, makes no
 * difference to that.
 */
#ifndef KAFKA_PARALLEL_H
#define KAFKA_PARALLEL_H

#include "storage/dsm.h"
#include "utils/dsa.h"

#include "consumer.h"

/* One process's end of it. */
typedef struct KafkaParallel KafkaParallel;

/* The shared memory that is needed for so many workers, beside what is taken from a dsa_area. */
extern Size KafkaParallelSize(int nworkers);

/*
 * The leader's end, allocated in the current context. Nothing is shared before Open, nor once the
 * shared memory is gone; it may be opened again then, and its counters go on.
 */
extern KafkaParallel *KafkaParallelCreate(void);
extern void KafkaParallelOpen(KafkaParallel *parallel, void *space, dsm_segment *seg,
							  dsa_area *area, int nworkers, Oid userid);

/* Put the ranges, normalized and each with an end, in place of what was shared before. */
extern void KafkaParallelShare(KafkaParallel *parallel, const KafkaRange *ranges, int nranges);

/* A worker's end, allocated in the current context. */
extern KafkaParallel *KafkaParallelAttach(void *space, dsa_area *area);

/* As whom the leader reads. */
extern Oid	KafkaParallelUser(const KafkaParallel *parallel);

/* True while there is anything to take part in. */
extern bool KafkaParallelIsShared(const KafkaParallel *parallel);

/* Have a consumer read this process's share. */
extern void KafkaParallelStart(KafkaParallel *parallel, KafkaConsumer *consumer);

/* No more pieces are handed out: the query wants no more rows. */
extern void KafkaParallelStop(KafkaParallel *parallel);

/* Tell the leader what this worker has done until now. */
extern void KafkaParallelReport(KafkaParallel *parallel, const KafkaCounters *counters);

/* For the leader: the most workers there were, and what one of them reported. */
extern int	KafkaParallelWorkers(const KafkaParallel *parallel);
extern KafkaCounters KafkaParallelCounters(const KafkaParallel *parallel, int worker);

#endif							/* KAFKA_PARALLEL_H */
