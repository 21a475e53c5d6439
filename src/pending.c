/*
 * pending.c
 *		Messages that are held until their transaction commits: delivery "commit".
 *
 * The messages of a transaction are an array in the order in which they were held. Beside it is a
 * stack of the subtransactions that have added to it, each with the place of its first message: a
 * subtransaction that aborts cuts the array there, one that commits leaves its messages to its
 * parent. (async.c does the same for NOTIFY.) All of it is in a context below the top
 * transaction's, which takes it away whichever way that ends.
 *
 * The messages go out in XACT_EVENT_PRE_COMMIT: after deferred triggers and constraints, and while
 * an error still aborts the transaction. Other modules' callbacks, NOTIFY, a serialization failure
 * and the flush of the commit record come later. When one of these fails, the messages have been
 * sent for nothing, which nobody can mend; a WARNING says so.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "module.h"
#include "pending.h"
#include "producer.h"
#include "setting.h"

/* Where messages go. A message of the same server and topic as the one before shares its target. */
typedef struct PendingTarget
{
	KafkaServer *server;
	char	   *topic;
	KafkaBatch *batch;			/* while they are sent */
} PendingTarget;

typedef struct PendingMessage
{
	PendingTarget *target;
	Size		size;
	KafkaOutgoing message;		/* what it points to follows in the same chunk */
} PendingMessage;

/* A subtransaction that has added messages, or the transaction itself. */
typedef struct PendingLevel
{
	struct PendingLevel *upper;
	int			nest_level;
	int			first;			/* of its messages */
} PendingLevel;

/* What the transaction holds; NULL: nothing. */
typedef struct Pending
{
	MemoryContext context;
	PendingMessage **messages;
	int			nmessages;
	int			maxmessages;
	Size		size;
	List	   *targets;		/* of PendingTarget *, the one used last in front */
	PendingLevel *level;		/* the innermost */
} Pending;

/* How far the transaction has come. */
typedef enum PendingPhase
{
	PENDING_OPEN,
	PENDING_SENDING,
	PENDING_SENT				/* all messages, if there were any */
} PendingPhase;

static Pending *pending = NULL;
static PendingPhase phase = PENDING_OPEN;

/* The transaction's messages, at the level of the present subtransaction. */
static void
enter_level(void)
{
	int			nest_level = GetCurrentTransactionNestLevel();
	PendingLevel *level;

	if (pending == NULL)
	{
		MemoryContext context = AllocSetContextCreate(TopTransactionContext, "kafka_fdw pending",
													  ALLOCSET_DEFAULT_SIZES);

		pending = MemoryContextAllocZero(context, sizeof(Pending));
		pending->context = context;
	}
	if (pending->level && pending->level->nest_level == nest_level)
		return;
	level = MemoryContextAlloc(pending->context, sizeof(PendingLevel));
	level->upper = pending->level;
	level->nest_level = nest_level;
	level->first = pending->nmessages;
	pending->level = level;
}

/*
 * The target for a server and topic. Few transactions have many, but a partitioned table can: the
 * one used last is looked at first.
 */
static PendingTarget *
get_target(const KafkaServer *server, const char *topic)
{
	PendingTarget *target;
	ListCell   *lc;

	foreach(lc, pending->targets)
	{
		target = (PendingTarget *) lfirst(lc);
		if (strcmp(target->topic, topic) != 0 || !KafkaOptionSameServer(target->server, server))
			continue;
		if (foreach_current_index(lc) > 0)
		{
			pending->targets = foreach_delete_current(pending->targets, lc);
			pending->targets = lcons(target, pending->targets);
		}
		return target;
	}
	target = palloc0(sizeof(PendingTarget));
	target->server = KafkaOptionCopyServer(server);
	target->topic = pstrdup(topic);
	pending->targets = lcons(target, pending->targets);
	return target;
}

/* What a message takes in one chunk. */
static Size
chunk_size(const KafkaOutgoing *message)
{
	Size		size = sizeof(PendingMessage) + message->nheaders * sizeof(KafkaHeader);

	size += message->key ? message->keylen : 0;
	size += message->value ? message->valuelen : 0;
	for (int i = 0; i < message->nheaders; i++)
	{
		size += strlen(message->headers[i].name) + 1;
		size += message->headers[i].value ? message->headers[i].len : 0;
	}
	return size;
}

static PendingMessage *
copy_message(const KafkaOutgoing *message, Size size)
{
	PendingMessage *copy = palloc_extended(size, MCXT_ALLOC_HUGE);
	KafkaHeader *headers = (KafkaHeader *) (copy + 1);
	char	   *to = (char *) (headers + message->nheaders);

	copy->size = size;
	copy->message = *message;
	copy->message.headers = message->nheaders > 0 ? headers : NULL;
	copy->message.key = kafka_copy_bytes(&to, message->key, message->keylen);
	copy->message.value = kafka_copy_bytes(&to, message->value, message->valuelen);
	for (int i = 0; i < message->nheaders; i++)
	{
		const KafkaHeader *header = &message->headers[i];

		headers[i].name = kafka_copy_bytes(&to, header->name, strlen(header->name) + 1);
		headers[i].value = kafka_copy_bytes(&to, header->value, header->len);
		headers[i].len = header->len;
	}
	return copy;
}

void
KafkaPendingAdd(const KafkaServer *server, const char *topic, const KafkaOutgoing *message)
{
	Size		size = chunk_size(message);
	MemoryContext oldcontext;
	PendingMessage *copy;

	/* In a worker nobody would send it. */
	PreventCommandIfParallelMode("kafka_send_on_commit()");
	/* Another module's code at commit: it would be lost. */
	if (phase != PENDING_OPEN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot hold a message for topic \"%s\": the transaction is committing",
						topic)));
	enter_level();
	if (pending->size + size > (Size) kafka_max_pending_size * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many messages are held until the transaction commits"),
				 errdetail("%d messages take %zu kB; the setting \"%s\" allows %d kB.",
						   pending->nmessages, pending->size / 1024,
						   "kafka_fdw.max_pending_size", kafka_max_pending_size),
				 errhint("Commit more often, raise the setting, or store the messages with delivery "
						 "\"outbox\".")));

	oldcontext = MemoryContextSwitchTo(pending->context);
	if (pending->nmessages >= pending->maxmessages)
	{
		int			more = pending->maxmessages > 0 ? 2 * pending->maxmessages : 64;

		pending->messages = pending->messages
			? repalloc_huge(pending->messages, more * sizeof(PendingMessage *))
			: palloc(more * sizeof(PendingMessage *));
		pending->maxmessages = more;
	}
	copy = copy_message(message, size);
	copy->target = get_target(server, topic);
	pending->messages[pending->nmessages++] = copy;
	pending->size += size;
	MemoryContextSwitchTo(oldcontext);
}

/* An error context callback: without it an error at COMMIT would not say where it comes from. */
static void
sending_context(void *arg)
{
	errcontext("sending the messages that were held until the transaction commits");
}

/*
 * Send what is held, and wait for it. A server's commit_timeout is a bound on how long a commit waits
 * for a message; it stands in the copy of the server as the time that the message has. All topics are
 * looked up before anything is sent: for one that is not there, or a server that is away, nothing else is
 * sent in vain.
 */
static void
send_all(void)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(pending->context);
	ErrorContextCallback context;
	ListCell   *lc;

	context.callback = sending_context;
	context.arg = NULL;
	context.previous = error_context_stack;
	error_context_stack = &context;
	foreach(lc, pending->targets)
	{
		KafkaServer *server = ((PendingTarget *) lfirst(lc))->server;

		server->message_timeout = Min(server->message_timeout, server->commit_timeout);
		server->metadata_timeout = Min(server->metadata_timeout, server->commit_timeout);
	}
	for (int i = 0; i < pending->nmessages; i++)
	{
		PendingTarget *target = pending->messages[i]->target;

		if (target->batch == NULL)
			target->batch = KafkaBatchBegin(target->server, target->topic);
	}
	for (int i = 0; i < pending->nmessages; i++)
		KafkaBatchAdd(pending->messages[i]->target->batch, &pending->messages[i]->message);
	foreach(lc, pending->targets)
	{
		PendingTarget *target = (PendingTarget *) lfirst(lc);

		if (target->batch)
			KafkaBatchFinish(target->batch);
		target->batch = NULL;
	}
	error_context_stack = context.previous;
	MemoryContextSwitchTo(oldcontext);
}

static void
pending_xact_callback(XactEvent event, void *arg)
{
	bool		held = pending && pending->nmessages > 0;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			phase = PENDING_SENDING;
			if (held)
			{
				/* What was allowed when the message was held may have been forbidden since. */
				KafkaSettingCheckWrite("COMMIT");
				send_all();
			}
			phase = PENDING_SENT;
			break;

		case XACT_EVENT_PRE_PREPARE:
			if (!held)
				break;
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that holds messages for Kafka"),
					 errdetail("Messages of delivery \"commit\" are kept in the memory of the "
							   "session.")));
			break;

		case XACT_EVENT_ABORT:
			if (held && phase == PENDING_SENT)
				ereport(WARNING,
						(errmsg_plural("%d message was sent to Kafka by a transaction that failed "
									   "to commit",
									   "%d messages were sent to Kafka by a transaction that failed "
									   "to commit", pending->nmessages, pending->nmessages),
						 errdetail("The transaction failed after its messages were "
								   "acknowledged.")));
			pending = NULL;
			phase = PENDING_OPEN;
			break;

		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			pending = NULL;
			phase = PENDING_OPEN;
			break;

		default:				/* parallel workers hold nothing */
			break;
	}
}

/* Drop the messages of a subtransaction that aborts; give those of one that commits to its parent. */
static void
pending_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
						 SubTransactionId parentSubid, void *arg)
{
	PendingLevel *level = pending ? pending->level : NULL;
	int			nest_level = GetCurrentTransactionNestLevel();

	if (level == NULL || level->nest_level < nest_level)
		return;
	Assert(level->nest_level == nest_level);
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (pending->nmessages > level->first)
		{
			PendingMessage *message = pending->messages[--pending->nmessages];

			pending->size -= message->size;
			pfree(message);
		}
		pending->level = level->upper;
		pfree(level);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		if (level->upper && level->upper->nest_level == nest_level - 1)
		{
			pending->level = level->upper;
			pfree(level);
		}
		else
			level->nest_level--;
	}
}

/* At load, so that it is known in every transaction whether it is committing. */
void
KafkaPendingInit(void)
{
	RegisterXactCallback(pending_xact_callback, NULL);
	RegisterSubXactCallback(pending_subxact_callback, NULL);
}
