/*
 * connection_wait.c
 *		The one wait for Kafka, what is served while waiting, and blocking calls made in a thread.
 *
 * librdkafka writes to the handle's eventfd when a queue that had been found empty gets its first
 * entry. So the order is: read the queues until they are empty, wait, clear the descriptor, read
 * the queues again; nothing that comes in between is missed.
 */
#include "postgres.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "compat.h"
#include "connection.h"
#include "connection_private.h"

#define LOG_LINE_MAX 1024
#define FIRST_SLICE_MS 500
#define RETRY_MS 20
#define QUICK_MS 10				/* a call that took no longer is tried without a thread next time
								 * ... */
#define DIRECT_MS 25			/* ... for so long, during which no interrupt is answered */

/* A call of librdkafka under way in a thread. Outlives the statement where that gives it up. */
typedef struct ThreadCall
{
	KafkaHandle *handle;
	KafkaCall	fn;
	void	   *arg;
	KafkaFreeCall free_arg;
	pg_atomic_uint32 state;		/* CALL_xxx: who frees it */
} ThreadCall;

#define CALL_RUNNING 0
#define CALL_DONE 1				/* the backend owns it */
#define CALL_ABANDONED 2		/* the thread owns it */

static __thread ThreadCall *thread_call = NULL; /* what this thread runs */

/* A call that the backend makes itself. */
static int64 direct_ends = 0;	/* when it is to be over, ms; 0: there is none */
static bool direct_failed;		/* it needs more time than that */

static uint32
wait_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = kafka_wait_event("KafkaWait");
	return event;
}

bool
KafkaConnectionWait(KafkaHandle *handle, int64 timeout_ms)
{
	WaitEvent	events[2];
	uint64		counter;
	long		timeout = timeout_ms < 0 ? -1 : (long) Min(timeout_ms, INT_MAX);
	int			nevents;

	CHECK_FOR_INTERRUPTS();
	nevents = WaitEventSetWait(handle->wes, timeout, events, lengthof(events), wait_event());
	for (int i = 0; i < nevents; i++)
	{
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else if (read(handle->efd, &counter, sizeof(counter)) < 0 && errno != EAGAIN)
			elog(ERROR, "could not read an event descriptor: %m");
	}
	CHECK_FOR_INTERRUPTS();
	KafkaConnectionServe(handle);
	return nevents > 0;
}

rd_kafka_queue_t *
KafkaConnectionOpenAnswers(KafkaHandle *handle)
{
	static const uint64 one = 1;
	rd_kafka_queue_t *answers = rd_kafka_queue_new(handle->rk);

	rd_kafka_queue_io_event_enable(answers, handle->efd, &one, sizeof(one));
	return answers;
}

void
KafkaConnectionCloseAnswers(KafkaHandle *handle, rd_kafka_queue_t *answers, bool waiting)
{
	if (answers)
	{
		rd_kafka_queue_io_event_enable(answers, -1, NULL, 0);
		rd_kafka_queue_destroy(answers);
	}
	if (waiting)
		handle->stale = true;
	KafkaConnectionCheckin(handle);
}

/* Copy the line, give the event back, and only then report: even a LOG may jump out. */
static void
serve_log(KafkaHandle *handle, rd_kafka_event_t *event)
{
	char		line[LOG_LINE_MAX];
	const char *facility;
	const char *text;
	int			level;

	line[0] = '\0';
	if (rd_kafka_event_log(event, &facility, &text, &level) == 0)
	{
		snprintf(line, sizeof(line), "%s: %s", facility, text);
		kafka_redact_log(line);
		kafka_note_log(handle, facility, text);
	}
	rd_kafka_event_destroy(event);
	kafka_clean_text(line);
	if (line[0] && message_level_is_interesting(DEBUG1))
		ereport(DEBUG1, (errmsg_internal("librdkafka: %s", line), errhidestmt(true),
						 errhidecontext(true)));
}

void
KafkaConnectionServe(KafkaHandle *handle)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(handle->main, 0)) != NULL)
	{
		switch (rd_kafka_event_type(event))
		{
			case RD_KAFKA_EVENT_LOG:
				serve_log(handle, event);
				break;
			case RD_KAFKA_EVENT_ERROR:
				kafka_note_error(handle, rd_kafka_event_error(event),
								 rd_kafka_event_error_string(event));
				rd_kafka_event_destroy(event);
				break;
			case RD_KAFKA_EVENT_DR:
				if (handle->on_report)
					handle->on_report(handle, event);
				rd_kafka_event_destroy(event);
				break;
			default:
				rd_kafka_event_destroy(event);
				break;
		}
	}
}

/*
 * The thread's side. After the hand-over nothing but the handle's descriptor and counter is
 * touched, and the handle is not destroyed before the counter is back.
 */
static void *
run_call(void *arg)
{
	ThreadCall *call = (ThreadCall *) arg;
	KafkaHandle *handle = call->handle;
	uint32		expected = CALL_RUNNING;
	uint64		one = 1;

	thread_call = call;
	call->fn(handle->rk, call->arg);
	if (pg_atomic_compare_exchange_u32(&call->state, &expected, CALL_DONE))
	{
		if (write(handle->efd, &one, sizeof(one)) < 0)
		{
			/* The counter is full, so the descriptor is readable as it is. */
		}
	}
	else
	{
		call->free_arg(call->arg);
		free(call);
	}
	pg_atomic_fetch_sub_u32(&handle->ncalls, 1);
	kafka_thread_ends();
	return NULL;
}

static int64
monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

KafkaDeadline
KafkaConnectionDeadline(int timeout_ms)
{
	KafkaDeadline deadline;

	deadline.started = monotonic_ms();
	deadline.ends = deadline.started + timeout_ms;
	return deadline;
}

int
KafkaConnectionSlice(const KafkaDeadline *deadline)
{
	int64		now = monotonic_ms();
	int64		left = Min(deadline->ends - now, Max(now - deadline->started, FIRST_SLICE_MS));

	if (thread_call == NULL && direct_ends > 0)
		left = Min(left, direct_ends - now);
	return (int) Max(left, 1);
}

bool
KafkaConnectionNeedsThread(void)
{
	if (thread_call != NULL || direct_ends == 0)
		return false;
	direct_failed = true;
	return true;
}

bool
KafkaConnectionRetry(const KafkaDeadline *deadline)
{
	if (KafkaConnectionNeedsThread())
		return false;
	if (thread_call && pg_atomic_read_u32(&thread_call->state) == CALL_ABANDONED)
		return false;
	if (monotonic_ms() + RETRY_MS >= deadline->ends)
		return false;
	usleep(RETRY_MS * 1000);
	return true;
}

/*
 * Make a call in the backend's own thread, for a moment: most take less time than to start a thread
 * and to be woken by it. False where it needs longer, and has to be made anew in a thread.
 */
static bool
call_directly(KafkaHandle *handle, KafkaCall fn, void *arg)
{
	int64		started = monotonic_ms();

	CHECK_FOR_INTERRUPTS();
	direct_failed = false;
	direct_ends = started + DIRECT_MS;
	fn(handle->rk, arg);
	direct_ends = 0;
	if (!direct_failed)
		handle->call_ms = (int) (monotonic_ms() - started);
	return !direct_failed;
}

void
KafkaConnectionCall(KafkaHandle *handle, KafkaCall fn, void *arg, KafkaFreeCall free_arg)
{
	ThreadCall *call;
	int			rc = ENOMEM;
	int64		started;

	if (handle->call_ms >= 0 && handle->call_ms <= QUICK_MS && call_directly(handle, fn, arg))
	{
		KafkaConnectionServe(handle);
		return;
	}
	started = monotonic_ms();
	call = malloc(sizeof(ThreadCall));
	if (call)
	{
		call->handle = handle;
		call->fn = fn;
		call->arg = arg;
		call->free_arg = free_arg;
		pg_atomic_init_u32(&call->state, CALL_RUNNING);
		pg_atomic_fetch_add_u32(&handle->ncalls, 1);
		rc = kafka_start_thread(run_call, call);
	}
	if (rc != 0)
	{
		if (call)
			pg_atomic_fetch_sub_u32(&handle->ncalls, 1);
		free(call);
		free_arg(arg);
		errno = rc;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a thread for server \"%s\": %m", handle->server_name)));
	}

	PG_TRY();
	{
		while (pg_atomic_read_u32(&call->state) == CALL_RUNNING)
		{
			(void) KafkaConnectionWait(handle, -1);
			if (handle->fatal_err && pg_atomic_read_u32(&call->state) == CALL_RUNNING)
				kafka_raise_fatal(handle);
		}
	}
	PG_CATCH();
	{
		uint32		expected = CALL_RUNNING;

		if (pg_atomic_compare_exchange_u32(&call->state, &expected, CALL_ABANDONED))
			handle->stale = true;
		else
		{
			free_arg(arg);
			free(call);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	pg_read_barrier();
	free(call);
	handle->call_ms = (int) (monotonic_ms() - started);
}
