/*
 * ingest_batch.c
 *		Messages of a topic held in memory, which for a while are what its foreign table shows.
 *
 * A subscription fetches a batch before its transaction begins. What it does with the rows is SQL,
 * which may scan the foreign table several times, or from within functions; each of these scans has
 * to return just the batch, whose offsets are stored with the rows. So the batch is laid over the
 * relation for as long as the transaction lasts.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "ingest_batch.h"

#define CHUNK_SIZE (256 * 1024)
#define FIRST_SIZE 64			/* messages */

/* A message's headers: KafkaMessage.origin. */
typedef struct BatchHeaders
{
	int			n;
	KafkaHeader headers[FLEXIBLE_ARRAY_MEMBER];
} BatchHeaders;

struct KafkaIngestBatch
{
	KafkaIngestBatch *below;	/* in "shown": what was shown before this one */
	Oid			relid;			/* that it is shown for; InvalidOid: it is not */
	MemoryContext cxt;			/* the batch itself, and its array */
	MemoryContext bytes_cxt;	/* what the messages point to */
	KafkaMessage *messages;
	int			nmessages;
	int			first;			/* of those that are shown ... */
	int			nshown;			/* ... and their number */
	int			size;			/* allocated */
	Size		bytes;
	char	   *chunk;			/* room for what is added next */
	Size		room;
};

static KafkaIngestBatch *shown = NULL;

KafkaIngestBatch *
KafkaIngestBatchCreate(MemoryContext parent)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "kafka_fdw batch", ALLOCSET_DEFAULT_SIZES);
	KafkaIngestBatch *batch = MemoryContextAllocZero(cxt, sizeof(KafkaIngestBatch));

	batch->cxt = cxt;
	batch->bytes_cxt = AllocSetContextCreate(cxt, "kafka_fdw batch bytes",
											 ALLOCSET_DEFAULT_SIZES);
	batch->size = FIRST_SIZE;
	batch->messages = MemoryContextAlloc(cxt, batch->size * sizeof(KafkaMessage));
	return batch;
}

void
KafkaIngestBatchReset(KafkaIngestBatch *batch)
{
	MemoryContextReset(batch->bytes_cxt);
	batch->nmessages = batch->first = batch->nshown = 0;
	batch->bytes = 0;
	batch->chunk = NULL;
	batch->room = 0;
}

void
KafkaIngestBatchFree(KafkaIngestBatch *batch)
{
	MemoryContextDelete(batch->cxt);
}

/* Room in the batch; what is large gets a place of its own. */
static char *
take_room(KafkaIngestBatch *batch, Size size)
{
	char	   *result;

	size = MAXALIGN(size);
	if (size > CHUNK_SIZE / 4)
		return MemoryContextAllocHuge(batch->bytes_cxt, size);
	if (size > batch->room)
	{
		batch->chunk = MemoryContextAlloc(batch->bytes_cxt, CHUNK_SIZE);
		batch->room = CHUNK_SIZE;
	}
	result = batch->chunk;
	batch->chunk += size;
	batch->room -= size;
	return result;
}

void
KafkaIngestBatchAdd(KafkaIngestBatch *batch, const KafkaMessage *message, const KafkaHeader *headers,
					int nheaders)
{
	KafkaMessage *copy;
	Size		size = message->keylen + message->valuelen;
	char	   *p;

	if (nheaders > 0)
		size += offsetof(BatchHeaders, headers) + nheaders * sizeof(KafkaHeader);
	for (int i = 0; i < nheaders; i++)
		size += strlen(headers[i].name) + 1 + headers[i].len;
	if (batch->nmessages == batch->size)
	{
		batch->size *= 2;
		batch->messages = repalloc_huge(batch->messages, batch->size * sizeof(KafkaMessage));
	}
	p = take_room(batch, Max(size, 1));
	copy = &batch->messages[batch->nmessages];
	*copy = *message;
	copy->origin = NULL;
	if (nheaders > 0)
	{
		BatchHeaders *list = (BatchHeaders *) p;

		copy->origin = list;
		list->n = nheaders;
		p += offsetof(BatchHeaders, headers) + nheaders * sizeof(KafkaHeader);
		for (int i = 0; i < nheaders; i++)
		{
			list->headers[i] = headers[i];
			list->headers[i].name = kafka_copy_bytes(&p, headers[i].name, strlen(headers[i].name) + 1);
			list->headers[i].value = kafka_copy_bytes(&p, headers[i].value, headers[i].len);
		}
	}
	copy->key = kafka_copy_bytes(&p, message->key, message->keylen);
	copy->value = kafka_copy_bytes(&p, message->value, message->valuelen);
	batch->nmessages++;
	batch->nshown++;
	batch->bytes += size + sizeof(KafkaMessage);
}

void
KafkaIngestBatchNarrow(KafkaIngestBatch *batch, int first, int n)
{
	Assert(first >= 0 && n >= 0 && first + n <= batch->nmessages);
	batch->first = first;
	batch->nshown = n;
}

int
KafkaIngestBatchCount(const KafkaIngestBatch *batch)
{
	return batch->nshown;
}

Size
KafkaIngestBatchBytes(const KafkaIngestBatch *batch)
{
	return batch->bytes;
}

const KafkaMessage *
KafkaIngestBatchMessage(const KafkaIngestBatch *batch, int i)
{
	return &batch->messages[batch->first + i];
}

int
KafkaIngestBatchHeaders(void *source, const KafkaMessage *message, KafkaHeader **headers)
{
	BatchHeaders *list = (BatchHeaders *) message->origin;

	*headers = list ? list->headers : NULL;
	return list ? list->n : 0;
}

void
KafkaIngestBatchShow(KafkaIngestBatch *batch, Oid relid)
{
	Assert(!OidIsValid(batch->relid));
	batch->relid = relid;
	batch->below = shown;
	shown = batch;
}

void
KafkaIngestBatchHide(KafkaIngestBatch *batch)
{
	KafkaIngestBatch **link;

	for (link = &shown; *link; link = &(*link)->below)
	{
		if (*link == batch)
		{
			*link = batch->below;
			break;
		}
	}
	batch->relid = InvalidOid;
}

KafkaIngestBatch *
KafkaIngestBatchShown(Oid relid)
{
	for (KafkaIngestBatch *batch = shown; batch; batch = batch->below)
	{
		if (batch->relid == relid)
			return batch;
	}
	return NULL;
}
