/*
 * ingest_batch.h
 *		Messages of a topic held in memory, which for a while are what its foreign table shows.
 */
#ifndef KAFKA_INGEST_BATCH_H
#define KAFKA_INGEST_BATCH_H

#include "message.h"

typedef struct KafkaIngestBatch KafkaIngestBatch;

/* An empty one, with a memory context of its own below the given one. */
extern KafkaIngestBatch *KafkaIngestBatchCreate(MemoryContext parent);

/* Empty it again, or do away with it. */
extern void KafkaIngestBatchReset(KafkaIngestBatch *batch);
extern void KafkaIngestBatchFree(KafkaIngestBatch *batch);

/* Append a copy of a message and of its headers. */
extern void KafkaIngestBatchAdd(KafkaIngestBatch *batch, const KafkaMessage *message,
								const KafkaHeader *headers, int nheaders);

/*
 * Show a part of the messages alone, n from the first-th on of all; so do Count and Message below. Both
 * are the whole batch's again when it is reset, or by this with 0 and the number of all.
 */
extern void KafkaIngestBatchNarrow(KafkaIngestBatch *batch, int first, int n);

extern int	KafkaIngestBatchCount(const KafkaIngestBatch *batch);
extern Size KafkaIngestBatchBytes(const KafkaIngestBatch *batch);

/* The i-th message, from 0 on. */
extern const KafkaMessage *KafkaIngestBatchMessage(const KafkaIngestBatch *batch, int i);

/* Its headers, as a KafkaHeadersFn; source is not looked at. The array belongs to the batch. */
extern int	KafkaIngestBatchHeaders(void *source, const KafkaMessage *message, KafkaHeader **headers);

/*
 * From now on all scans of a foreign table in this session return the batch, whatever their topic
 * holds, until it is hidden again. The batch has to live until the scans that have begun are over.
 */
extern void KafkaIngestBatchShow(KafkaIngestBatch *batch, Oid relid);
extern void KafkaIngestBatchHide(KafkaIngestBatch *batch);

/* What is to be shown in place of the relation's topic; NULL as a rule. */
extern KafkaIngestBatch *KafkaIngestBatchShown(Oid relid);

#endif							/* KAFKA_INGEST_BATCH_H */
