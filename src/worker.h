/*
 * worker.h
 *		Starting the extension's background workers, and telling whether they run.
 */
#ifndef KAFKA_WORKER_H
#define KAFKA_WORKER_H

#include "postmaster/bgworker.h"
#include "storage/lock.h"

/* How the types of our workers begin, as pg_stat_activity shows them. */
#define KAFKA_WORKER_PREFIX "kafka_fdw "

/* What a relay is started with: BackgroundWorker.bgw_extra. */
typedef struct KafkaRelayArguments
{
	Oid			databaseid;
	Oid			serverid;
	Oid			mapping;		/* role, InvalidOid for public */
} KafkaRelayArguments;

/* Locks about a relay. */
typedef enum KafkaRelayLock
{
	KAFKA_RELAY_RUNNING,		/* held by the relay's session */
	KAFKA_RELAY_STARTING		/* held by a transaction that starts one */
} KafkaRelayLock;

/* What a subscription's worker is started with. */
typedef struct KafkaSubscriptionArguments
{
	Oid			databaseid;
	int32		id;
	int			number;			/* of the worker, from 0 on */
} KafkaSubscriptionArguments;

/* Locks about a subscription. */
typedef enum KafkaSubscriptionLock
{
	KAFKA_SUBSCRIPTION_RUNNING = 8, /* held by the worker's session */
	KAFKA_SUBSCRIPTION_STORING	/* held by transactions that store a batch, or change offsets */
} KafkaSubscriptionLock;

/* "number" is that of a worker; STORING has none, so it is 0. */
extern void KafkaWorkerSubscriptionLockTag(LOCKTAG *tag, int32 id, int number,
										   KafkaSubscriptionLock lock);

extern void KafkaWorkerLockTag(LOCKTAG *tag, Oid serverid, Oid mapping, KafkaRelayLock lock);

/* In a transaction: whether somebody else holds a lock, which is taken for a moment to find out. */
extern bool KafkaWorkerHolds(const LOCKTAG *tag);

/*
 * A worker that runs a function of ours with a connection to a database, as soon as the server is no
 * standby. restart: seconds after which one that failed is started again, or BGW_NEVER_RESTART.
 */
extern void KafkaWorkerFill(BackgroundWorker *worker, const char *function, const char *name,
							int restart);

/*
 * In a worker, whose signal handlers are set: connect to a database, as its superuser, with the settings of
 * none but ourselves. Where the database is gone the worker ends as one that has done its work, so
 * that nobody starts it again.
 */
extern void KafkaWorkerConnect(Oid databaseid);

/* Start a relay in the current database; false where no worker slot is free. */
extern bool KafkaWorkerStartRelay(Oid serverid, Oid mapping);

/* Start a worker of a subscription; false where no worker slot is free. */
extern bool KafkaWorkerStartSubscription(int32 id, int number);

#endif							/* KAFKA_WORKER_H */
