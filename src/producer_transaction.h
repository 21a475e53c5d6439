/*
 * producer_transaction.h
 *		Messages sent inside Kafka's transactions: what read_committed readers see together or not
 *		at all.
 *
 * For background workers: a commit takes milliseconds, and a producer that dies holds back every
 * reader of its topics until its transaction times out. Backends of clients use producer.h.
 */
#ifndef KAFKA_PRODUCER_TRANSACTION_H
#define KAFKA_PRODUCER_TRANSACTION_H

#include "nodes/pg_list.h"

#include "message.h"
#include "option.h"

typedef struct KafkaTransactor KafkaTransactor;

/* A message that Kafka will never take. */
typedef struct KafkaRefusal
{
	int64		number;			/* as it was added */
	char	   *reason;			/* without a full stop */
} KafkaRefusal;

/*
 * A producer with a transactional id, which the server's "transactional_id" is: any earlier producer
 * of that id is fenced, and its open transaction aborted, when this returns. Hangs on the current
 * memory context.
 */
extern KafkaTransactor *KafkaTransactorOpen(const KafkaServer *server);

/* Give everything up; an open transaction is left to be aborted by the next producer of the id. */
extern void KafkaTransactorClose(KafkaTransactor *transactor);

/*
 * Make a compacted topic of one partition, unless it is there; true where it was made. The cluster's
 * defaults decide the rest.
 */
extern bool KafkaTransactorMakeTopic(KafkaTransactor *transactor, const char *topic);

/*
 * Outside a transaction, before a message is added to one: NULL where its topic and partition are
 * there, else why they are not. What is not there is waited for, once for each topic, for the
 * server's metadata_timeout: it may be about to be made, or the broker to learn of it.
 */
extern char *KafkaTransactorPrepare(KafkaTransactor *transactor, const char *topic, int32 partition);

extern void KafkaTransactorBegin(KafkaTransactor *transactor);

/*
 * Hand a message over that was prepared; it is copied. What Kafka will never take is noted. Waits
 * while much is not acknowledged.
 */
extern void KafkaTransactorAdd(KafkaTransactor *transactor, const char *topic,
							   const KafkaOutgoing *message, int64 number);

/*
 * Commit, and return NIL; or, where messages were refused, abort, and return a List of KafkaRefusal *
 * in the current context. Where too much was sent at once, abort, and set *again: the same messages can
 * be added to another transaction right away, without those that are returned. Any other failure, here and above, is an ERROR, after which the
 * transactor can only be closed: whether the transaction was committed is then to be seen in its
 * topics, once another transactor of the same id is open. An ERROR with SQLSTATE
 * KAFKA_FENCED_SQLSTATE says that this has happened already.
 */
extern List *KafkaTransactorCommit(KafkaTransactor *transactor, bool *again);

#define KAFKA_FENCED_SQLSTATE ERRCODE_OBJECT_IN_USE

#endif							/* KAFKA_PRODUCER_TRANSACTION_H */
