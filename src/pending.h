/*
 * pending.h
 *		Messages that are held until their transaction commits: delivery "commit".
 *
 * They follow savepoints, and a rollback drops them. Just before PostgreSQL commits they are sent
 * in the order in which they were held, and awaited; a failure aborts the transaction. What fails
 * between that and the commit record leaves them sent.
 */
#ifndef KAFKA_PENDING_H
#define KAFKA_PENDING_H

#include "message.h"
#include "option.h"

/*
 * Hold a message, which is copied, as is the server. The caller has checked that the role may send
 * to the topic; nothing is asked of Kafka before the commit. Raises 54000 where the transaction
 * would hold more than kafka_fdw.max_pending_size.
 */
extern void KafkaPendingAdd(const KafkaServer *server, const char *topic,
							const KafkaOutgoing *message);

#endif							/* KAFKA_PENDING_H */
