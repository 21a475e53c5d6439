/*
 * connection.c
 *		The only file that creates and destroys librdkafka handles: the backend's pool of them, and
 *		what becomes of them when they are no longer wanted. What they are set up with is in
 *		connection_conf.c.
 *
 * A handle is kept idle for the session's next statement where its configuration allows. Handles
 * are alike when they were made from the same key: kind, server, role, mapping and every property.
 * So an altered server or mapping leads to a new key by itself; the syscache callbacks only see to
 * it that the old handle does not linger.
 *
 * Destroying a handle joins librdkafka's threads, one of which may sit in a name look-up or a TLS
 * handshake. That is done by a thread of its own, so that no statement waits for it. When the
 * backend exits while such threads (or abandoned calls, see connection_wait.c) are under way,
 * _exit() is used in place of exit(), at the last moment: the exit handlers of TLS libraries must
 * not run under a thread that uses them.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "connection.h"
#include "connection_private.h"
#include "module.h"

#define MAX_IDLE_CONSUMERS 2
#define MAX_IDLE_PRODUCERS 4
#define MAX_KEPT_PARTITIONS 64	/* of a handle, before their queues are looked into */
#define EXIT_WAIT_MS 50			/* for handles to be destroyed, at the backend's end */

static dlist_head handles = DLIST_STATIC_INIT(handles);
static int	consumers_out = 0;	/* of them, consumers that are in use */
static pg_atomic_uint32 nthreads;	/* threads of ours that have not ended */
static bool exit_hook_registered = false;
static int	exit_code = 0;

static void on_change(Datum arg, int cacheid, uint32 hashvalue);
static void reap_handles(void);

PG_FUNCTION_INFO_V1(kafka_disconnect);
PG_FUNCTION_INFO_V1(kafka_session_connections);

void
KafkaConnectionInit(void)
{
	pg_atomic_init_u32(&nthreads, 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_change, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_change, (Datum) 0);
}

/*
 * librdkafka's threads, and ours that call it, must never take a signal that is meant for the
 * backend: one that stole SIGURG lost the backend its wake-ups.
 */
int
kafka_start_thread(void *(*fn) (void *), void *arg)
{
	pthread_t	thread;
	pthread_attr_t attr;
	sigset_t	all;
	sigset_t	saved;
	int			rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 512 * 1024);
	pg_atomic_fetch_add_u32(&nthreads, 1);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	rc = pthread_create(&thread, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (rc != 0)
		pg_atomic_fetch_sub_u32(&nthreads, 1);
	pthread_attr_destroy(&attr);
	return rc;
}

/* The last thing that a thread does. */
void
kafka_thread_ends(void)
{
	pg_atomic_fetch_sub_u32(&nthreads, 1);
}

/* Registered after librdkafka has initialized its TLS library, so it runs before that cleans up. */
static void
leave_threads_behind(void)
{
	if (pg_atomic_read_u32(&nthreads) > 0)
		_exit(exit_code);
}

static void *
destroy_in_thread(void *arg)
{
	rd_kafka_destroy_flags((rd_kafka_t *) arg, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	kafka_thread_ends();
	return NULL;
}

void
KafkaConnectionKeepPartition(KafkaHandle *handle, int32 partition)
{
	if (handle->nown == handle->maxown)
	{
		int			n = Max(2 * handle->maxown, MAX_KEPT_PARTITIONS);

		handle->own = handle->own == NULL
			? MemoryContextAlloc(TopMemoryContext, n * sizeof(rd_kafka_queue_t *))
			: repalloc(handle->own, n * sizeof(rd_kafka_queue_t *));
		handle->maxown = n;
	}
	handle->own[handle->nown++] =
		rd_kafka_queue_get_partition(handle->rk, rd_kafka_topic_name(handle->rkt), partition);
}

/* Look into the partitions' own queues, and let go of them. */
static void
forget_partitions(KafkaHandle *handle)
{
	for (int i = 0; i < handle->nown; i++)
	{
		rd_kafka_message_t *message;

		if (handle->own[i] == NULL)
			continue;
		while (rd_kafka_consume_batch_queue(handle->own[i], 0, &message, 1) > 0)
			rd_kafka_message_destroy(message);
		rd_kafka_queue_destroy(handle->own[i]);
	}
	handle->nown = 0;
}

void
KafkaConnectionForgetPartitions(KafkaHandle *handle)
{
	if (handle->nown > MAX_KEPT_PARTITIONS)
		forget_partitions(handle);
}

void
KafkaConnectionForgetTopic(KafkaHandle *handle)
{
	forget_partitions(handle);
	if (handle->own)
		pfree(handle->own);
	handle->own = NULL;
	handle->maxown = 0;
	if (handle->rkt)
		rd_kafka_topic_destroy(handle->rkt);
	handle->rkt = NULL;
	handle->npartitions = 0;
}

/*
 * Destroy a handle, without waiting for that. Does nothing while a call is still inside it:
 * reap_handles() will come by again. Queues and topics go first, since a handle that still has one
 * is never done destroying itself.
 */
static void
destroy_handle(KafkaHandle *handle)
{
	if (pg_atomic_read_u32(&handle->ncalls) > 0)
		return;

	dlist_delete(&handle->node);
	FreeWaitEventSet(handle->wes);
	KafkaConnectionForgetTopic(handle);
	rd_kafka_queue_io_event_enable(handle->main, -1, NULL, 0);
	rd_kafka_queue_destroy(handle->main);
	if (handle->messages)
	{
		rd_kafka_queue_io_event_enable(handle->messages, -1, NULL, 0);
		rd_kafka_queue_destroy(handle->messages);
	}
	close(handle->efd);
	ReleaseExternalFD();
	if (kafka_start_thread(destroy_in_thread, handle->rk) != 0)
		rd_kafka_destroy_flags(handle->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	pfree(handle->server_name);
	explicit_bzero(handle->key, strlen(handle->key));
	pfree(handle->key);
	pfree(handle);
}

/*
 * At the backend's end. A handle is destroyed within milliseconds, unless it sits in a name look-up,
 * say: then the process ends without it, by leave_threads_behind(). So does a parallel worker, whose
 * end a session waits for.
 */
static void
on_backend_exit(int code, Datum arg)
{
	dlist_mutable_iter iter;

	exit_code = code;
	if (IsParallelWorker())
	{
		pg_atomic_fetch_add_u32(&nthreads, 1);
		return;
	}
	dlist_foreach_modify(iter, &handles)
	{
		KafkaHandle *handle = dlist_container(KafkaHandle, node, iter.cur);

		/* One with a call inside is not destroyed, though that call may end before we do. */
		if (handle->busy || pg_atomic_read_u32(&handle->ncalls) > 0)
			pg_atomic_fetch_add_u32(&nthreads, 1);
		else
			destroy_handle(handle);
	}
	for (int i = 0; i < EXIT_WAIT_MS && pg_atomic_read_u32(&nthreads) > 0; i++)
		pg_usleep(1000);
}

/* A server or a user mapping was altered: what was made from it is not used again. */
static void
on_change(Datum arg, int cacheid, uint32 hashvalue)
{
	dlist_iter	iter;

	dlist_foreach(iter, &handles)
	{
		KafkaHandle *handle = dlist_container(KafkaHandle, node, iter.cur);
		uint32		own = cacheid == FOREIGNSERVEROID ? handle->server_hash
			: handle->mapping_hash;

		if (hashvalue == 0 || own == hashvalue)
			handle->stale = true;
	}
}

/* Destroy idle handles that were altered or set aside, and the oldest of too many. */
static void
reap_handles(void)
{
	dlist_mutable_iter iter;
	int			nconsumers = 0;
	int			nproducers = 0;

	/* The list is in order of use, the latest first. */
	dlist_foreach_modify(iter, &handles)
	{
		KafkaHandle *handle = dlist_container(KafkaHandle, node, iter.cur);
		bool		excess;

		if (handle->busy)
			continue;
		if (handle->kind == KAFKA_HANDLE_PRODUCER)
			excess = ++nproducers > MAX_IDLE_PRODUCERS;
		else
			excess = ++nconsumers > MAX_IDLE_CONSUMERS;
		if (excess || handle->stale || !handle->keep)
			destroy_handle(handle);
	}
}

/* Handles of one key are alike. The key may hold secrets and never leaves this file. */
static char *
make_key(const KafkaServer *server, KafkaHandleKind kind)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%d/%u/%u/%u/%d/%d/%d/%s", kind, server->serverid, server->userid,
					 server->umid, server->read_committed, server->auto_create_topics,
					 server->message_timeout,
					 server->transactional_id ? server->transactional_id : "");
	foreach(lc, server->properties)
	{
		KafkaProperty *property = (KafkaProperty *) lfirst(lc);

		/* the length keeps a value from posing as the next property */
		appendStringInfo(&buf, "\n%s=%zu:%s", property->name, strlen(property->value),
						 property->value);
	}
	return buf.data;
}

/*
 * Have librdkafka's threads share the backend's malloc arena. An arena for each thread is what glibc
 * would make: memory that one has freed then helps no other, and a session's size wanders by megabytes.
 * Reading and sending take as much CPU with one.
 */
static void
share_arena(void)
{
#ifdef M_ARENA_MAX
	(void) mallopt(M_ARENA_MAX, 1);
#endif
}

/* rd_kafka_new() with all signals blocked, whatever the library's own threads do about them. */
static rd_kafka_t *
new_rdkafka(rd_kafka_conf_t *conf, bool producer, char *errstr, size_t errlen)
{
	rd_kafka_t *rk;
	sigset_t	all;
	sigset_t	saved;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	rk = rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, errstr, errlen);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return rk;
}

/*
 * Make a handle. Everything that can throw comes before rd_kafka_new(), or is undone.
 */
static KafkaHandle *
make_handle(const KafkaServer *server, KafkaHandleKind kind, const char *key)
{
	static const uint64 one = 1;
	KafkaHandle *handle;
	rd_kafka_conf_t *conf;
	char		errstr[512];
	bool		producer = kind == KAFKA_HANDLE_PRODUCER;

	handle = MemoryContextAllocZero(TopMemoryContext, sizeof(KafkaHandle));
	handle->efd = -1;
	conf = rd_kafka_conf_new();
	PG_TRY();
	{
		handle->server_name = MemoryContextStrdup(TopMemoryContext, server->name);
		handle->key = MemoryContextStrdup(TopMemoryContext, key);
		handle->kind = kind;
		handle->call_ms = -1;
		handle->serverid = server->serverid;
		handle->userid = server->userid;
		handle->server_hash =
			GetSysCacheHashValue1(FOREIGNSERVEROID, ObjectIdGetDatum(server->serverid));
		handle->mapping_hash = OidIsValid(server->umid)
			? GetSysCacheHashValue1(USERMAPPINGOID, ObjectIdGetDatum(server->umid)) : 0;
		handle->keep = server->keep_connections && kind != KAFKA_HANDLE_TAIL &&
			kind != KAFKA_HANDLE_AHEAD;
		handle->made_at = GetCurrentTimestamp();
		pg_atomic_init_u32(&handle->ncalls, 0);
		kafka_check_credentials(server);
		kafka_fill_conf(conf, server, kind);

		if (!AcquireExternalFD())
			kafka_raise_no_descriptor(server);
		handle->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (handle->efd < 0)
		{
			ReleaseExternalFD();
			kafka_raise_no_descriptor(server);
		}
		/* The wait set takes another one, and would complain without a SQLSTATE. */
		if (!AcquireExternalFD())
			kafka_raise_no_descriptor(server);
		ReleaseExternalFD();
		handle->wes = kafka_create_wait_set(3);
		AddWaitEventToSet(handle->wes, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(handle->wes, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		AddWaitEventToSet(handle->wes, WL_SOCKET_READABLE, handle->efd, NULL, NULL);

		share_arena();
		handle->rk = new_rdkafka(conf, producer, errstr, sizeof(errstr));
		if (handle->rk == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
					 errmsg("could not create a Kafka client for server \"%s\"", server->name),
					 errdetail_internal("%s", errstr),
					 errhint("Check the options of the server and of the user mapping.")));
	}
	PG_CATCH();
	{
		rd_kafka_conf_destroy(conf);
		if (handle->wes)
			FreeWaitEventSet(handle->wes);
		if (handle->efd >= 0)
		{
			close(handle->efd);
			ReleaseExternalFD();
		}
		if (handle->server_name)
			pfree(handle->server_name);
		if (handle->key)
			pfree(handle->key);
		pfree(handle);
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (!exit_hook_registered)
	{
		on_proc_exit(on_backend_exit, (Datum) 0);
		atexit(leave_threads_behind);
		exit_hook_registered = true;
	}
	handle->main = rd_kafka_queue_get_main(handle->rk);
	rd_kafka_queue_io_event_enable(handle->main, handle->efd, &one, sizeof(one));
	rd_kafka_set_log_queue(handle->rk, NULL);
	if (!producer)
	{
		handle->messages = rd_kafka_queue_new(handle->rk);
		rd_kafka_queue_io_event_enable(handle->messages, handle->efd, &one, sizeof(one));
	}
	dlist_push_head(&handles, &handle->node);
	return handle;
}

/*
 * An idle handle of this key, or NULL. One that had an error while it was idle is let go of: it would
 * pause before it connects again, and librdkafka says the same error only once in half a minute, so
 * that a statement that fails by it could not tell why.
 */
static KafkaHandle *
find_idle(const char *key)
{
	dlist_iter	iter;

	dlist_foreach(iter, &handles)
	{
		KafkaHandle *handle = dlist_container(KafkaHandle, node, iter.cur);

		if (handle->busy || handle->stale || strcmp(handle->key, key) != 0)
			continue;
		handle->broker_err = RD_KAFKA_RESP_ERR_NO_ERROR;
		KafkaConnectionServe(handle);
		if (handle->broker_err == RD_KAFKA_RESP_ERR_NO_ERROR)
			return handle;
		handle->stale = true;
	}
	return NULL;
}

/*
 * Make a handle, between the transactions of a worker too: one is needed to look at catalogues. A wait
 * for Kafka may need a second handle at any time, to ask what became of the topic.
 */
static KafkaHandle *
make_handle_anywhere(const KafkaServer *server, KafkaHandleKind kind, const char *key)
{
	MemoryContext cxt = CurrentMemoryContext;
	KafkaHandle *handle;

	if (IsTransactionState())
		return make_handle(server, kind, key);
	StartTransactionCommand();
	MemoryContextSwitchTo(cxt);
	handle = make_handle(server, kind, key);
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	return handle;
}

/* Raise the error that a new handle has already, without leaving it behind. */
static void
raise_unusable(KafkaHandle *handle)
{
	PG_TRY();
	{
		kafka_raise_fatal(handle);
	}
	PG_CATCH();
	{
		destroy_handle(handle);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

KafkaHandle *
KafkaConnectionCheckout(const KafkaServer *server, KafkaHandleKind kind)
{
	char	   *key = make_key(server, kind);
	KafkaHandle *handle;

	reap_handles();
	handle = find_idle(key);
	if (handle)
	{
		dlist_move_head(&handles, &handle->node);
		handle->broker_errstr[0] = '\0';
	}
	else
		handle = make_handle_anywhere(server, kind, key);
	explicit_bzero(key, strlen(key));
	pfree(key);
	if (handle->nuses == 0)
	{
		/* That there is no token to be had is known at once. */
		KafkaConnectionServe(handle);
		if (handle->fatal_err != RD_KAFKA_RESP_ERR_NO_ERROR)
			raise_unusable(handle);
	}

	handle->busy = true;
	consumers_out += handle->kind != KAFKA_HANDLE_PRODUCER;
	handle->lost_topic = false;
	handle->nuses++;
	handle->used_at = GetCurrentTimestamp();
	return handle;
}

void
KafkaConnectionCheckin(KafkaHandle *handle)
{
	Assert(handle->busy);
	handle->busy = false;
	consumers_out -= handle->kind != KAFKA_HANDLE_PRODUCER;
	handle->on_report = NULL;
	handle->owner = NULL;
	if (handle->fatal_err != RD_KAFKA_RESP_ERR_NO_ERROR)
		handle->stale = true;
	reap_handles();
}

int
KafkaConnectionConsumersOut(void)
{
	return consumers_out;
}

/* Close the idle handles of this session; their number. */
Datum
kafka_disconnect(PG_FUNCTION_ARGS)
{
	dlist_mutable_iter iter;
	int32		closed = 0;

	dlist_foreach_modify(iter, &handles)
	{
		KafkaHandle *handle = dlist_container(KafkaHandle, node, iter.cur);

		if (handle->busy || pg_atomic_read_u32(&handle->ncalls) > 0)
			continue;
		destroy_handle(handle);
		closed++;
	}
	PG_RETURN_INT32(closed);
}

/* The rows of the view kafka_connections: what this session holds, without asking anybody. */
Datum
kafka_session_connections(PG_FUNCTION_ARGS)
{
	static const char *const kinds[] = {"consumer", "bulk consumer", "tail", "tail", "producer"};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	dlist_iter	iter;

	InitMaterializedSRF(fcinfo, 0);
	dlist_foreach(iter, &handles)
	{
		KafkaHandle *handle = dlist_container(KafkaHandle, node, iter.cur);
		Datum		values[9];
		bool		nulls[9] = {false};
		NameData	server;
		NameData	role;
		char	   *rolename = GetUserNameFromId(handle->userid, true);

		namestrcpy(&server, handle->server_name);
		namestrcpy(&role, rolename ? rolename : "");
		values[0] = NameGetDatum(&server);
		values[1] = NameGetDatum(&role);
		nulls[1] = rolename == NULL;
		values[2] = CStringGetTextDatum(kinds[handle->kind]);
		values[3] = BoolGetDatum(handle->busy);
		values[4] = BoolGetDatum(!handle->stale);
		values[5] = Int64GetDatum(handle->nuses);
		values[6] = TimestampTzGetDatum(handle->made_at);
		values[7] = TimestampTzGetDatum(handle->used_at);
		nulls[8] = handle->broker_errstr[0] == '\0';
		values[8] = nulls[8] ? (Datum) 0 : CStringGetTextDatum(handle->broker_errstr);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
