/*
 * reverse.c
 *		Messages of one partition from the last to the first, read in blocks.
 *
 * Kafka reads forward only. So a block of offsets before those already delivered is read forward,
 * its messages are copied, and handed out from the last to the first. Blocks begin small and grow,
 * as the number of rows that are wanted is not known. A block may turn out shorter than its offsets
 * are, or empty, where transaction markers or compaction left gaps: then the next one is read.
 *
 * Memory is bounded in bytes, not in messages: where a block has more, its first messages are let
 * go, and read once more in the block before it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "reverse.h"

#define FIRST_BLOCK 32			/* offsets */
#define BLOCK_GROWTH 4
#define MAX_BLOCK 65536
#define MAX_BLOCK_BYTES (8 * 1024 * 1024)

/* A message of the block with all that it points to, in one chunk of memory. */
typedef struct BlockMessage
{
	KafkaMessage message;
	Size		size;			/* of the chunk */
	int			nheaders;
	KafkaHeader headers[FLEXIBLE_ARRAY_MEMBER];
} BlockMessage;

struct KafkaReverse
{
	MemoryContext cxt;			/* where everything here lives */
	MemoryContext block_cxt;	/* the block's messages */
	MemoryContext scratch;		/* headers on their way from the consumer */
	KafkaConsumer *consumer;
	KafkaRange *ranges;
	int			irange;			/* the range to read next, backwards; -1: all have been read */
	int64		hi;				/* and its end */
	int64		block;			/* offsets that the next block has at most */
	BlockMessage **messages;	/* the block: those from "first" to before "next" are to come */
	int			first;
	int			next;
	BlockMessage *current;		/* what the caller holds; part of the block */
};

KafkaReverse *
KafkaReverseOpen(KafkaConsumer *consumer, const KafkaRange *ranges, int nranges)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw reverse",
											  ALLOCSET_SMALL_SIZES);
	KafkaReverse *reverse = MemoryContextAllocZero(cxt, sizeof(KafkaReverse));

	reverse->cxt = cxt;
	reverse->block_cxt = AllocSetContextCreate(cxt, "kafka_fdw reverse block",
											   ALLOCSET_DEFAULT_SIZES);
	reverse->scratch = AllocSetContextCreate(cxt, "kafka_fdw reverse headers",
											 ALLOCSET_SMALL_SIZES);
	reverse->consumer = consumer;
	reverse->ranges = MemoryContextAllocHuge(cxt, Max(nranges, 1) * sizeof(KafkaRange));
	for (int i = 0; i < nranges; i++)
	{
		if (ranges[i].partition != ranges[0].partition || ranges[i].end == KAFKA_NO_END)
			elog(ERROR, "ranges cannot be read backwards");
		reverse->ranges[i] = ranges[i];
	}
	reverse->irange = nranges - 1;
	reverse->hi = nranges > 0 ? ranges[nranges - 1].end : 0;
	reverse->block = FIRST_BLOCK;
	return reverse;
}

void
KafkaReverseClose(KafkaReverse *reverse)
{
	MemoryContextDelete(reverse->cxt);
}

/* Copy a message, with its headers, out of the consumer's memory. */
static BlockMessage *
copy_message(KafkaReverse *reverse, const KafkaMessage *message)
{
	MemoryContext old = MemoryContextSwitchTo(reverse->scratch);
	KafkaHeader *headers = NULL;
	int			nheaders = KafkaConsumerHeaders(reverse->consumer, message, &headers);
	Size		size = offsetof(BlockMessage, headers) + nheaders * sizeof(KafkaHeader);
	BlockMessage *copy;
	char	   *p;

	MemoryContextSwitchTo(old);
	size += message->keylen + message->valuelen;
	for (int i = 0; i < nheaders; i++)
		size += strlen(headers[i].name) + 1 + headers[i].len;
	copy = MemoryContextAllocHuge(reverse->block_cxt, size);
	copy->message = *message;
	copy->message.origin = NULL;
	copy->size = size;
	copy->nheaders = nheaders;

	p = (char *) &copy->headers[nheaders];
	if (message->key)
	{
		memcpy(p, message->key, message->keylen);
		copy->message.key = p;
		p += message->keylen;
	}
	if (message->value)
	{
		memcpy(p, message->value, message->valuelen);
		copy->message.value = p;
		p += message->valuelen;
	}
	for (int i = 0; i < nheaders; i++)
	{
		Size		len = strlen(headers[i].name) + 1;

		copy->headers[i] = headers[i];
		memcpy(p, headers[i].name, len);
		copy->headers[i].name = p;
		p += len;
		if (headers[i].value)
		{
			memcpy(p, headers[i].value, headers[i].len);
			copy->headers[i].value = p;
			p += headers[i].len;
		}
	}
	MemoryContextReset(reverse->scratch);
	return copy;
}

/*
 * Give the consumer the next block: as many ranges, and parts of ranges, as its offsets allow. The
 * number of offsets in it.
 */
static int64
start_block(KafkaReverse *reverse)
{
	int64		left = reverse->block;
	int			n = 0;
	KafkaRange *block;
	int			i;
	int64		hi = reverse->hi;

	for (i = reverse->irange; i >= 0 && left > 0; i--)
	{
		left -= Min(left, hi - reverse->ranges[i].start);
		hi = i > 0 ? reverse->ranges[i - 1].end : 0;
		n++;
	}

	/* Filled from its end, since the consumer wants them ascending. */
	block = MemoryContextAlloc(reverse->scratch, n * sizeof(KafkaRange));
	left = reverse->block;
	for (i = n - 1; i >= 0; i--)
	{
		const KafkaRange *range = &reverse->ranges[reverse->irange];

		block[i].partition = range->partition;
		block[i].end = reverse->hi;
		block[i].start = Max(range->start, reverse->hi - left);
		left -= block[i].end - block[i].start;
		reverse->hi = block[i].start;
		if (block[i].start == range->start)
		{
			reverse->irange--;
			reverse->hi = reverse->irange >= 0 ? reverse->ranges[reverse->irange].end : 0;
		}
	}
	KafkaConsumerStart(reverse->consumer, block, n, NULL);
	MemoryContextReset(reverse->scratch);
	return reverse->block - left;
}

/* Read on before an offset, which lies in one of the ranges. */
static void
go_back_to(KafkaReverse *reverse, int irange, int64 offset)
{
	while (irange >= 0 && reverse->ranges[irange].start >= offset)
		irange--;
	reverse->irange = irange;
	reverse->hi = irange >= 0 ? Min(reverse->ranges[irange].end, offset) : 0;
}

/* Read a block. It may come out empty. */
static void
read_block(KafkaReverse *reverse)
{
	int			irange = reverse->irange;
	int64		noffsets = start_block(reverse);
	Size		bytes = 0;
	bool		dropped = false;
	KafkaMessage message;

	reverse->current = NULL;
	reverse->first = reverse->next = 0;
	MemoryContextReset(reverse->block_cxt);
	reverse->messages = MemoryContextAlloc(reverse->block_cxt,
										   noffsets * sizeof(BlockMessage *));
	while (KafkaConsumerNext(reverse->consumer, &message))
	{
		BlockMessage *copy = copy_message(reverse, &message);

		reverse->messages[reverse->next++] = copy;
		bytes += copy->size;
		while (bytes > MAX_BLOCK_BYTES && reverse->first < reverse->next - 1)
		{
			bytes -= reverse->messages[reverse->first]->size;
			pfree(reverse->messages[reverse->first++]);
			dropped = true;
		}
	}

	if (dropped)
	{
		go_back_to(reverse, irange, reverse->messages[reverse->first]->message.offset);
		reverse->block = Max(reverse->next - reverse->first, 1);
	}
	else if (bytes * BLOCK_GROWTH <= MAX_BLOCK_BYTES)
		reverse->block = Min(reverse->block * BLOCK_GROWTH, MAX_BLOCK);
}

bool
KafkaReverseNext(KafkaReverse *reverse, KafkaMessage *message)
{
	while (reverse->first >= reverse->next)
	{
		if (reverse->irange < 0)
		{
			reverse->current = NULL;
			return false;
		}
		CHECK_FOR_INTERRUPTS();
		read_block(reverse);
	}
	reverse->current = reverse->messages[--reverse->next];
	*message = reverse->current->message;
	return true;
}

int
KafkaReverseHeaders(KafkaReverse *reverse, KafkaHeader **headers)
{
	*headers = reverse->current->headers;
	return reverse->current->nheaders;
}
