/*
 * outbox_wake.c
 *		Relays that run, started and woken by those who add to the outbox.
 *
 * A relay has a segment of dynamic shared memory in which it says whether it sleeps. kafka_relay has the
 * segment's number; a session that has found it once stays attached. So a commit costs its writer one
 * look at a word of memory, and a system call only where the relay sleeps.
 *
 * The word is how a commit and a sleep do not miss each other: a writer commits and then looks; a relay
 * says that it is busy, looks for messages, finds none, and only then, if nobody has called since, says
 * that it sleeps. Each of these steps is a full barrier.
 *
 * A relay that ends says so in its segment, whichever way it ends. (A crash restarts everybody.) Where no
 * segment tells that one runs its lock does, and one is started if need be.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "outbox_private.h"
#include "setting.h"
#include "worker.h"

#define SIGNAL_MAGIC 0x6b66736c

/* What is looked at of kafka_relay. */
#define RELAY_SERVERID 1
#define RELAY_MAPPING 2
#define RELAY_SEGMENT 8
#define RELAY_STATE 9
#define RELAY_STOPPED 10

typedef enum SignalState
{
	SIGNAL_BUSY,				/* it looks, or sends; it will look again */
	SIGNAL_CALLED,				/* the same, and somebody has committed since it began to look */
	SIGNAL_ASLEEP,				/* it has to be woken */
	SIGNAL_ENDED,
	SIGNAL_REPLACED				/* the same, and somebody has started another one */
} SignalState;

/* A relay's segment. */
typedef struct RelaySignal
{
	uint32		magic;
	Oid			databaseid;
	Oid			serverid;
	Oid			mapping;
	Latch	   *latch;			/* the relay's, in shared memory */
	pg_atomic_uint32 state;		/* a SignalState */
} RelaySignal;

/* A relay that the session has found. */
typedef struct Link
{
	Oid			serverid;
	Oid			mapping;
	dsm_segment *segment;
} Link;

/* A relay that the transaction has given something to do. */
typedef struct WakeUp
{
	Oid			serverid;
	Oid			mapping;
	RelaySignal *signal;		/* NULL: none runs, or one is only about to */
} WakeUp;

static List *links = NIL;		/* of Link * */
static List *wake_ups = NIL;	/* of WakeUp *, in the transaction's context */
static RelaySignal *own = NULL; /* in a relay */

/* ------------------------------------------------------------------------
 * A relay's side
 * ------------------------------------------------------------------------ */

static void
end_signal(dsm_segment *segment, Datum arg)
{
	KafkaSignalEnd();
}

int64
KafkaSignalCreate(Oid serverid, Oid mapping)
{
	dsm_segment *segment = dsm_create(sizeof(RelaySignal), 0);

	dsm_pin_mapping(segment);
	own = dsm_segment_address(segment);
	own->magic = SIGNAL_MAGIC;
	own->databaseid = MyDatabaseId;
	own->serverid = serverid;
	own->mapping = mapping;
	own->latch = &MyProc->procLatch;
	pg_atomic_init_u32(&own->state, SIGNAL_BUSY);
	on_dsm_detach(segment, end_signal, (Datum) 0);
	return dsm_segment_handle(segment);
}

void
KafkaSignalBusy(void)
{
	(void) pg_atomic_exchange_u32(&own->state, SIGNAL_BUSY);
}

bool
KafkaSignalSleep(void)
{
	uint32		expected = SIGNAL_BUSY;

	return pg_atomic_compare_exchange_u32(&own->state, &expected, SIGNAL_ASLEEP);
}

void
KafkaSignalEnd(void)
{
	if (own && pg_atomic_read_u32(&own->state) < SIGNAL_ENDED)
		(void) pg_atomic_exchange_u32(&own->state, SIGNAL_ENDED);
}

/* ------------------------------------------------------------------------
 * A writer's side
 * ------------------------------------------------------------------------ */

void
KafkaOutboxWakeRelay(Oid serverid, Oid mapping)
{
	MemoryContext oldcontext;
	WakeUp	   *wake_up;
	ListCell   *lc;

	foreach(lc, wake_ups)
	{
		wake_up = (WakeUp *) lfirst(lc);
		if (wake_up->serverid == serverid && wake_up->mapping == mapping)
			return;
	}
	oldcontext = MemoryContextSwitchTo(TopTransactionContext);
	wake_up = palloc0(sizeof(WakeUp));
	wake_up->serverid = serverid;
	wake_up->mapping = mapping;
	wake_ups = lappend(wake_ups, wake_up);
	MemoryContextSwitchTo(oldcontext);
}

/* The segment of a relay that the session has found before, and that has not ended. */
static RelaySignal *
find_link(Oid serverid, Oid mapping)
{
	ListCell   *lc;

	foreach(lc, links)
	{
		Link	   *link = (Link *) lfirst(lc);
		RelaySignal *signal = dsm_segment_address(link->segment);

		if (link->serverid == serverid && link->mapping == mapping &&
			pg_atomic_read_u32(&signal->state) < SIGNAL_ENDED)
			return signal;
	}
	return NULL;
}

/* Let go of the segments of relays that have ended: before any of them is found for this transaction. */
static void
sweep_links(void)
{
	ListCell   *lc;

	foreach(lc, links)
	{
		Link	   *link = (Link *) lfirst(lc);
		RelaySignal *signal = dsm_segment_address(link->segment);

		if (pg_atomic_read_u32(&signal->state) < SIGNAL_ENDED)
			continue;
		links = foreach_delete_current(links, lc);
		dsm_detach(link->segment);
		pfree(link);
	}
}

/*
 * Attach to a segment and keep it, if it is a relay's. The number may be of an earlier life of the
 * server, and somebody else's by now.
 */
static RelaySignal *
make_link(Oid serverid, Oid mapping, int64 handle)
{
	dsm_segment *segment;
	RelaySignal *signal;
	MemoryContext oldcontext;
	Link	   *link;

	if (handle == DSM_HANDLE_INVALID || dsm_find_mapping((dsm_handle) handle) != NULL)
		return NULL;
	segment = dsm_attach((dsm_handle) handle);
	if (segment == NULL)
		return NULL;
	signal = dsm_segment_address(segment);
	if (dsm_segment_map_length(segment) < sizeof(RelaySignal) || signal->magic != SIGNAL_MAGIC ||
		signal->databaseid != MyDatabaseId || signal->serverid != serverid ||
		signal->mapping != mapping)
	{
		dsm_detach(segment);
		return NULL;
	}
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	link = palloc(sizeof(Link));
	link->serverid = serverid;
	link->mapping = mapping;
	link->segment = segment;
	links = lappend(links, link);
	MemoryContextSwitchTo(oldcontext);
	dsm_pin_mapping(segment);
	return signal;
}

/* What kafka_relay says of a relay, as of now: its segment, and whether it is to run at all. */
static int64
read_relay(Oid serverid, Oid mapping, bool *wanted)
{
	Relation	rel = table_open(kafka_outbox_catalog()->relay, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		handle = DSM_HANDLE_INVALID;

	*wanted = true;
	ScanKeyInit(&keys[0], RELAY_SERVERID, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(serverid));
	ScanKeyInit(&keys[1], RELAY_MAPPING, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(mapping));
	scan = systable_beginscan(rel, kafka_primary_key_index(rel), true, snapshot, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		Datum		datum = heap_getattr(tuple, RELAY_SEGMENT, desc, &isnull);
		char	   *state;

		handle = isnull ? DSM_HANDLE_INVALID : DatumGetInt64(datum);
		state = TextDatumGetCString(heap_getattr(tuple, RELAY_STATE, desc, &isnull));
		*wanted = !DatumGetBool(heap_getattr(tuple, RELAY_STOPPED, desc, &isnull)) &&
			strcmp(state, "fenced") != 0;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return handle;
}

/* Find a relay, or start one. */
static void
prepare_wake_up(WakeUp *wake_up, bool two_phase)
{
	LOCKTAG		tag;
	bool		wanted;
	int64		handle;

	wake_up->signal = find_link(wake_up->serverid, wake_up->mapping);
	/* The transaction may have dropped the extension since. */
	if (wake_up->signal || !KafkaOutboxExists())
		return;
	handle = read_relay(wake_up->serverid, wake_up->mapping, &wanted);
	KafkaWorkerLockTag(&tag, wake_up->serverid, wake_up->mapping, KAFKA_RELAY_RUNNING);
	if (KafkaWorkerHolds(&tag))
	{
		/* It runs; one that is just starting has yet to look for the first time. */
		wake_up->signal = make_link(wake_up->serverid, wake_up->mapping, handle);
		return;
	}
	if (!wanted || kafka_mode != KAFKA_MODE_ON)
		return;

	/*
	 * Held until the transaction ends, so that not every session starts one; a prepared one may
	 * end much later.
	 */
	KafkaWorkerLockTag(&tag, wake_up->serverid, wake_up->mapping, KAFKA_RELAY_STARTING);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return;
	if (!KafkaWorkerStartRelay(wake_up->serverid, wake_up->mapping))
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a relay for Kafka: no background worker slot is free"),
				 errdetail("The message is stored, and waits."),
				 errhint("Increase \"max_worker_processes\".")));
	if (two_phase)
		LockRelease(&tag, ExclusiveLock, false);
}

void
kafka_outbox_prepare_wake_ups(bool two_phase)
{
	ListCell   *lc;

	if (wake_ups != NIL)
		sweep_links();
	foreach(lc, wake_ups)
		prepare_wake_up((WakeUp *) lfirst(lc), two_phase);
}

/*
 * Have a relay look: at once where it sleeps, and else when it has done what it is at. One that has ended
 * since it was found is replaced, by the first who sees it.
 */
static void
call(WakeUp *wake_up)
{
	RelaySignal *signal = wake_up->signal;
	uint32		state;

	pg_memory_barrier();
	state = pg_atomic_read_u32(&signal->state);
	while (state != SIGNAL_CALLED && state != SIGNAL_REPLACED)
	{
		uint32		before = state;

		if (!pg_atomic_compare_exchange_u32(&signal->state, &state,
											before == SIGNAL_ENDED ? SIGNAL_REPLACED : SIGNAL_CALLED))
			continue;
		if (before == SIGNAL_ASLEEP)
			SetLatch(signal->latch);
		else if (before == SIGNAL_ENDED)
			(void) KafkaWorkerStartRelay(wake_up->serverid, wake_up->mapping);
		break;
	}
}

void
kafka_outbox_finish_wake_ups(void)
{
	ListCell   *lc;

	foreach(lc, wake_ups)
	{
		WakeUp	   *wake_up = (WakeUp *) lfirst(lc);

		if (wake_up->signal)
			call(wake_up);
	}
	wake_ups = NIL;
}

void
kafka_outbox_drop_wake_ups(void)
{
	wake_ups = NIL;
}
