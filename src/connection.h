/*
 * connection.h
 *		librdkafka handles: made, kept, waited for, and reported on, for consumer, producer and
 *		admin, the only modules that may include this.
 *
 * A handle is checked out, used by one owner, and checked in again; all of it happens in the
 * backend's thread but for the functions given to KafkaConnectionCall.
 */
#ifndef KAFKA_CONNECTION_H
#define KAFKA_CONNECTION_H

#include <librdkafka/rdkafka.h>

#include "lib/ilist.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "option.h"

/* Fetch sizes and waits are fixed when a handle is made, hence several kinds of consumer. */
typedef enum KafkaHandleKind
{
	KAFKA_HANDLE_SMALL,			/* small fetches: the first thousands of messages of a scan */
	KAFKA_HANDLE_BULK,			/* large fetches: the rest of a long one */
	KAFKA_HANDLE_TAIL,			/* long polls at the end; never kept */
	KAFKA_HANDLE_AHEAD,			/* the same, with more fetched ahead: for batches of thousands */
	KAFKA_HANDLE_PRODUCER
} KafkaHandleKind;

/* The time of a transaction, in ms, as a property's value; see producer_transaction.c. */
#define KAFKA_TRANSACTION_TIMEOUT_MS "10000"

typedef struct KafkaHandle
{
	dlist_node	node;			/* in the backend's list of all handles */
	rd_kafka_t *rk;
	KafkaHandleKind kind;
	char	   *key;			/* what the handle was made from; handles of one key are alike */
	char	   *server_name;	/* for messages */
	Oid			serverid;
	Oid			userid;
	uint32		server_hash;	/* syscache hash values, to find what was altered */
	uint32		mapping_hash;
	rd_kafka_queue_t *main;		/* logs, errors, delivery reports */
	rd_kafka_queue_t *messages; /* consumers: what all partitions fetched */
	rd_kafka_topic_t *rkt;		/* consumers: the topic used last ... */
	int			npartitions;	/* ... how many partitions it had when it was looked up; 0: not
								 * yet ... */
	rd_kafka_queue_t **own;		/* ... and the own queues of its partitions that were fetched */
	int			nown;
	int			maxown;			/* allocated */
	int			efd;			/* readable when a queue has something, or a call has ended */
	WaitEventSet *wes;			/* latch, efd, postmaster */
	bool		busy;			/* checked out */
	bool		stale;			/* altered, or not to be kept for another reason */
	bool		keep;			/* may be kept idle */
	int			call_ms;		/* what the last KafkaConnectionCall took; -1: there was none */
	pg_atomic_uint32 ncalls;	/* threads that are inside librdkafka with this handle */
	TimestampTz made_at;
	TimestampTz used_at;
	int64		nuses;
	void		(*on_report) (struct KafkaHandle *handle, rd_kafka_event_t *event);
	void	   *owner;			/* for on_report */
	rd_kafka_resp_err_t broker_err; /* the last error a broker connection had ... */
	char		broker_errstr[640]; /* ... in librdkafka's words; "" where none */
	rd_kafka_resp_err_t fatal_err;	/* an error that waiting will not mend: authentication, TLS */
	bool		lost_topic;		/* partitions that were being fetched are there no more */
	char		verdict[512];	/* why a certificate was refused: part of the next broker_errstr */
} KafkaHandle;


/*
 * A handle for this server and user that nobody else is using: an idle one that was made from the
 * same configuration, or a new one. Must be checked in again; consumers and producers see to that
 * by a reset callback.
 */
extern KafkaHandle *KafkaConnectionCheckout(const KafkaServer *server, KafkaHandleKind kind);

/*
 * Give a handle back. It is kept for the next statement if it may be, and otherwise destroyed.
 * Never throws, so that it can be called from a reset callback.
 */
extern void KafkaConnectionCheckin(KafkaHandle *handle);

/* How many consumers are checked out. */
extern int	KafkaConnectionConsumersOut(void);

/*
 * An answer that is under way when a partition is stopped may put an end-of-partition event into
 * the partition's own queue, where nobody looks. That event refers to the partition, which owns the
 * queue; if the topic is then deleted, librdkafka forgets the partition but never frees it, nor the
 * broker it belonged to, and the handle is never done destroying itself (2.0.2; seen in a backend
 * that hung at its exit). To look once, later, is enough.
 *
 * KeepPartition is called before a partition of the topic used last is fetched. ForgetTopic lets go
 * of that topic, when its partitions have been stopped; ForgetPartitions only of their queues, and
 * only where they have become many. Neither throws.
 */
extern void KafkaConnectionKeepPartition(KafkaHandle *handle, int32 partition);
extern void KafkaConnectionForgetPartitions(KafkaHandle *handle);
extern void KafkaConnectionForgetTopic(KafkaHandle *handle);

/*
 * Wait until a queue of the handle has something, the latch is set, or timeout_ms (-1: none) have
 * passed; false on a timeout. Every wait for Kafka is this one. Answers interrupts, and so may
 * throw. Call it only after the queues were found empty, and look at them again afterwards.
 */
extern bool KafkaConnectionWait(KafkaHandle *handle, int64 timeout_ms);

/* A queue for answers to requests of one's own, which wakes KafkaConnectionWait() too. */
extern rd_kafka_queue_t *KafkaConnectionOpenAnswers(KafkaHandle *handle);

/*
 * Let go of it, where there is one, and give the handle back. One with an answer still to come is not
 * used again: that would find nobody. Does not throw.
 */
extern void KafkaConnectionCloseAnswers(KafkaHandle *handle, rd_kafka_queue_t *answers,
										bool waiting);

/*
 * Handle what librdkafka has to say beside messages: logs go to the server log at DEBUG1, errors
 * are remembered in the handle, delivery reports go to on_report.
 */
extern void KafkaConnectionServe(KafkaHandle *handle);

/*
 * Run a call of librdkafka that has only a blocking form in a thread of its own, and wait for it.
 * "arg" is allocated with malloc(); fn may use nothing but it, librdkafka and libc. On return the
 * caller owns arg. Where the wait is broken off (interrupt, authentication failure) the call is
 * abandoned: arg is given to free_arg when fn ends, and the handle is set aside until then.
 *
 * Where the handle's last call took milliseconds only, fn is called in the backend's own thread first,
 * with as little time, and again in a thread where that was not enough. So fn must be able to begin
 * again with an arg that it has used, and must not block but for the time that a slice has.
 */
typedef void (*KafkaCall) (rd_kafka_t *rk, void *arg);
typedef void (*KafkaFreeCall) (void *arg);

extern void KafkaConnectionCall(KafkaHandle *handle, KafkaCall fn, void *arg,
								KafkaFreeCall free_arg);

/*
 * For fn: the time that it has. A blocking call cannot be interrupted, and until it ends it holds a
 * handle, with threads and descriptors; a session that is cancelled again and again would run out
 * of these. So a call is given a slice of the time, and made again while there is more and somebody
 * still waits. Each slice is as long as all before it together, since an answer that comes after
 * its slice is lost: however slow the broker is, one is long enough.
 */
typedef struct KafkaDeadline
{
	int64		started;		/* ms, by the monotonic clock */
	int64		ends;
} KafkaDeadline;

extern KafkaDeadline KafkaConnectionDeadline(int timeout_ms);
extern int	KafkaConnectionSlice(const KafkaDeadline *deadline);

/* For fn: true where a call may be made again; sleeps a little first. */
extern bool KafkaConnectionRetry(const KafkaDeadline *deadline);

/* For fn, before it does what may take longer: true where it must return, to be called in a thread. */
extern bool KafkaConnectionNeedsThread(void);

/*
 * RD_KAFKA_RESP_ERR__DESTROY_BROKER, which librdkafka has from 2.10 on: the broker that was asked is
 * no longer among those that the cluster names, as one that was killed.
 */
#define KAFKA_ERR_BROKER_LEFT (-137)

/* The SQLSTATE of a librdkafka or broker error (docs/errors.md). */
extern int	KafkaConnectionSqlState(rd_kafka_resp_err_t err);

/*
 * True for errors that pass: a partition between two leaders, a group between two coordinators, a
 * broker that is starting. Also called in threads.
 */
extern bool KafkaConnectionErrorPasses(rd_kafka_resp_err_t err);

/*
 * The cause of a failure in words: librdkafka's text for err and, where the broker connection said
 * more, that. Without a trailing full stop; palloc'd.
 */
extern char *KafkaConnectionCause(KafkaHandle *handle, rd_kafka_resp_err_t err,
								  const char *errstr);

/* A hint that belongs to an error, or NULL. */
extern const char *KafkaConnectionHint(rd_kafka_resp_err_t err);

#endif							/* KAFKA_CONNECTION_H */
