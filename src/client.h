/*
 * client.h
 *		The client of this backend, as far as a tail is concerned with it.
 */
#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H

/*
 * Let the client have the rows that the server still holds in its send buffer, without blocking.
 * True where it did not take all of them, so that another call is due soon. "arg" is not used: the
 * signature is that of KafkaTail.before_wait.
 */
extern bool KafkaClientFlush(void *arg);

#endif							/* KAFKA_CLIENT_H */
