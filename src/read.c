/*
 * read.c
 *		kafka_read and kafka_last: messages of a topic that has no foreign table.
 *
 * Both look at a topic whatever is in it: bytes that are not text come as \x and hexadecimal, a
 * time beyond PostgreSQL's as infinity. PostgreSQL keeps the rows of a function in FROM in a
 * tuplestore in any case, so they are put into one here, and nothing is waited for: a topic's tail
 * is followed through a foreign table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "consumer.h"
#include "header.h"
#include "resolve.h"
#include "setting.h"
#include "text.h"

#define NCOLUMNS 6				/* partition, offset, timestamp, key, value, headers */
#define END_MS (END_TIMESTAMP / 1000 + KAFKA_EPOCH_DIFFERENCE_US / 1000)

/* A reading function under way. Hangs on a context of its own. */
typedef struct ReadCall
{
	MemoryContext cxt;
	MemoryContext row_cxt;		/* reset for each message */
	KafkaServer *server;
	char	   *topic;
	KafkaConsumer *consumer;
	KafkaText	text;
	ReturnSetInfo *result;
	const KafkaMessage *message;	/* being converted, for the error context; or NULL */
} ReadCall;

/* A row of kafka_last, with what it is ordered by. */
typedef struct LastRow
{
	int64		timestamp;
	int64		offset;
	int32		partition;
	HeapTuple	tuple;
} LastRow;

/* The newest rows so far: a heap with the oldest of them at its root. */
typedef struct LastHeap
{
	LastRow    *rows;
	int64		nrows;
	int64		size;
	int64		max_rows;
} LastHeap;

PG_FUNCTION_INFO_V1(kafka_read);
PG_FUNCTION_INFO_V1(kafka_last);

/*
 * Check the caller's rights, and open a consumer of the topic that is the function's first argument
 * on the server that is another.
 */
static ReadCall *
begin_read(FunctionCallInfo fcinfo, int server_arg)
{
	ReadCall   *call;
	MemoryContext cxt;
	MemoryContext old;
	Oid			serverid;

	KafkaSettingCheckRead();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("topic must not be null")));
	serverid = KafkaOptionChooseServer(PG_ARGISNULL(server_arg) ? NULL
									   : NameStr(*PG_GETARG_NAME(server_arg)), GetUserId());
	InitMaterializedSRF(fcinfo, 0);

	cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw read", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	call = palloc0(sizeof(ReadCall));
	call->cxt = cxt;
	call->row_cxt = AllocSetContextCreate(cxt, "kafka_fdw read row", ALLOCSET_DEFAULT_SIZES);
	call->result = (ReturnSetInfo *) fcinfo->resultinfo;
	call->server = KafkaOptionGetServer(serverid, GetUserId());
	call->topic = text_to_cstring(PG_GETARG_TEXT_PP(0));
	KafkaOptionCheckTopic(call->server, call->topic);
	KafkaTextInit(&call->text, PG_UTF8, KAFKA_INVALID_ESCAPE);
	call->consumer = KafkaConsumerOpen(call->server, call->topic, call->server->read_committed,
									   false);
	MemoryContextSwitchTo(old);
	return call;
}

/* Which message an error is about. */
static void
message_error_callback(void *arg)
{
	const ReadCall *call = (const ReadCall *) arg;

	if (call->message)
		errcontext("topic \"%s\", partition %d, offset " INT64_FORMAT, call->topic,
				   call->message->partition, call->message->offset);
}

/* Resolve what is asked for, and start to read it. The request's common parts are filled in. */
static void
start_reading(ReadCall *call, KafkaRequest *request, const KafkaSnapshot *snapshot)
{
	KafkaRange *ranges;
	int			nranges;

	request->topic = call->topic;
	request->max_timestamp_skew = -1;
	request->now = kafka_timestamptz_to_ms(GetCurrentStatementStartTimestamp());
	ranges = KafkaResolve(call->consumer, snapshot, request, &nranges);
	KafkaConsumerStart(call->consumer, ranges, nranges, NULL);
}

/* Bytes as text; false for NULL. */
static bool
make_text(ReadCall *call, const char *data, Size len, Datum *result)
{
	if (data == NULL || !KafkaTextDecode(&call->text, &data, &len))
		return false;
	if (len > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a key or value of %zu bytes is too large for text", len)));
	*result = PointerGetDatum(cstring_to_text_with_len(data, (int) len));
	return true;
}

/* A message's row, in the row's context, which is reset first. */
static void
make_row(ReadCall *call, const KafkaMessage *message, Datum *values, bool *nulls)
{
	MemoryContext old;
	KafkaHeader *headers;
	int			nheaders;

	MemoryContextReset(call->row_cxt);
	old = MemoryContextSwitchTo(call->row_cxt);
	call->message = message;
	memset(nulls, false, NCOLUMNS * sizeof(bool));
	values[0] = Int32GetDatum(message->partition);
	values[1] = Int64GetDatum(message->offset);
	nulls[2] = message->timestamp == KAFKA_NO_TIMESTAMP;
	values[2] = TimestampTzGetDatum(message->timestamp < END_MS
									? kafka_ms_to_timestamptz(message->timestamp) : DT_NOEND);
	nulls[3] = !make_text(call, message->key, message->keylen, &values[3]);
	nulls[4] = !make_text(call, message->value, message->valuelen, &values[4]);
	nheaders = KafkaConsumerHeaders(call->consumer, message, &headers);
	values[5] = KafkaHeaderToJsonb(headers, nheaders);
	call->message = NULL;
	MemoryContextSwitchTo(old);
}

/* ERROR for a partition that the topic does not have. */
static void
check_partition(const ReadCall *call, const KafkaSnapshot *snapshot, int32 partition)
{
	for (int i = 0; i < snapshot->npartitions; i++)
	{
		if (snapshot->partitions[i].partition == partition)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("partition %d does not exist in topic \"%s\"", partition, call->topic),
			 errdetail_plural("The topic has %d partition.", "The topic has %d partitions.",
							  snapshot->npartitions, snapshot->npartitions)));
}

/* An argument of kafka_read as offsets; NULL is its default. */
static KafkaOffsetSpec *
offset_argument(FunctionCallInfo fcinfo, int n, const char *otherwise, KafkaOffsetUse use)
{
	return KafkaOffsetParse(PG_ARGISNULL(n) ? otherwise
							: text_to_cstring(PG_GETARG_TEXT_PP(n)), use);
}

/* Messages between two offsets: all of them, or as many as are wanted. */
Datum
kafka_read(PG_FUNCTION_ARGS)
{
	int64		max_messages = PG_ARGISNULL(4) ? PG_INT64_MAX : PG_GETARG_INT64(4);
	ReadCall   *call;
	KafkaRequest request = {0};
	KafkaSnapshot *snapshot;
	KafkaMessage message;
	ErrorContextCallback callback;
	MemoryContext old;

	if (max_messages < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_messages must not be negative")));
	call = begin_read(fcinfo, 5);
	old = MemoryContextSwitchTo(call->cxt);
	request.start = offset_argument(fcinfo, 1, "earliest", KAFKA_START_OFFSET);
	request.end = offset_argument(fcinfo, 2, "snapshot", KAFKA_END_OFFSET);
	request.boxes = KafkaRangeAll();
	request.max_messages = max_messages;
	snapshot = KafkaConsumerSnapshot(call->consumer);
	if (!PG_ARGISNULL(3))
	{
		int32		partition = PG_GETARG_INT32(3);

		check_partition(call, snapshot, partition);
		request.boxes = KafkaRangeOne(KAFKA_DIM_PARTITION, partition, (int64) partition + 1);
	}
	if (max_messages > 0)
		start_reading(call, &request, snapshot);
	MemoryContextSwitchTo(old);

	callback.callback = message_error_callback;
	callback.arg = call;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	for (int64 n = 0; n < max_messages && KafkaConsumerNext(call->consumer, &message); n++)
	{
		Datum		values[NCOLUMNS];
		bool		nulls[NCOLUMNS];

		make_row(call, &message, values, nulls);
		tuplestore_putvalues(call->result->setResult, call->result->setDesc, values, nulls);
	}
	error_context_stack = callback.previous;
	MemoryContextDelete(call->cxt);
	return (Datum) 0;
}

/* The order of kafka_last. A message without a time counts as older than all that have one. */
static int
compare_last(const void *a, const void *b)
{
	const LastRow *x = (const LastRow *) a;
	const LastRow *y = (const LastRow *) b;

	if (x->timestamp != y->timestamp)
		return x->timestamp > y->timestamp ? 1 : -1;
	if (x->partition != y->partition)
		return x->partition > y->partition ? 1 : -1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Let the heap's row at "i" sink to where it belongs. */
static void
sift_down(LastHeap *heap, int64 i)
{
	LastRow		row = heap->rows[i];

	for (;;)
	{
		int64		child = 2 * i + 1;

		if (child + 1 < heap->nrows &&
			compare_last(&heap->rows[child + 1], &heap->rows[child]) < 0)
			child++;
		if (child >= heap->nrows || compare_last(&row, &heap->rows[child]) <= 0)
			break;
		heap->rows[i] = heap->rows[child];
		i = child;
	}
	heap->rows[i] = row;
}

/* Let the heap's row at "i" rise. */
static void
sift_up(LastHeap *heap, int64 i)
{
	LastRow		row = heap->rows[i];

	while (i > 0 && compare_last(&row, &heap->rows[(i - 1) / 2]) < 0)
	{
		heap->rows[i] = heap->rows[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap->rows[i] = row;
}

/* Keep a message if it is among the newest. The tuple goes into the current context. */
static void
keep_newest(ReadCall *call, LastHeap *heap, const KafkaMessage *message)
{
	LastRow		row;
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];

	row.timestamp = message->timestamp;
	row.partition = message->partition;
	row.offset = message->offset;
	if (heap->nrows == heap->max_rows && compare_last(&row, &heap->rows[0]) < 0)
		return;
	make_row(call, message, values, nulls);
	row.tuple = heap_form_tuple(call->result->setDesc, values, nulls);

	if (heap->nrows == heap->max_rows)
	{
		heap_freetuple(heap->rows[0].tuple);
		heap->rows[0] = row;
		sift_down(heap, 0);
		return;
	}
	if (heap->nrows == heap->size)
	{
		heap->size *= 2;
		heap->rows = repalloc_huge(heap->rows, heap->size * sizeof(LastRow));
	}
	heap->rows[heap->nrows] = row;
	sift_up(heap, heap->nrows++);
}

/*
 * The n newest messages, oldest first: those with the greatest timestamps among the last n visible
 * ones of each partition. Memory is bounded by n messages, not by n of each partition.
 */
Datum
kafka_last(PG_FUNCTION_ARGS)
{
	ReadCall   *call;
	KafkaRequest request = {0};
	KafkaOffsetSpec start = {0};
	KafkaOffsetSpec end = {0};
	LastHeap	heap = {0};
	KafkaMessage message;
	ErrorContextCallback callback;
	MemoryContext old;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("n must not be null")));
	if (PG_GETARG_INT32(1) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("n must not be negative")));
	call = begin_read(fcinfo, 2);
	old = MemoryContextSwitchTo(call->cxt);
	heap.max_rows = PG_GETARG_INT32(1);
	heap.size = 64;
	heap.rows = palloc(heap.size * sizeof(LastRow));
	start.all.kind = KAFKA_OFFSET_LAST;
	start.all.value = heap.max_rows;
	end.all.kind = KAFKA_OFFSET_SNAPSHOT;
	request.start = &start;
	request.end = &end;
	request.boxes = KafkaRangeAll();

	callback.callback = message_error_callback;
	callback.arg = call;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	start_reading(call, &request, KafkaConsumerSnapshot(call->consumer));
	while (KafkaConsumerNext(call->consumer, &message))
		keep_newest(call, &heap, &message);
	error_context_stack = callback.previous;

	qsort(heap.rows, heap.nrows, sizeof(LastRow), compare_last);
	for (int64 i = 0; i < heap.nrows; i++)
		tuplestore_puttuple(call->result->setResult, heap.rows[i].tuple);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(call->cxt);
	return (Datum) 0;
}
