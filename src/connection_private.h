/*
 * connection_private.h
 *		What connection.c and connection_wait.c share with nobody else.
 */
#ifndef KAFKA_CONNECTION_PRIVATE_H
#define KAFKA_CONNECTION_PRIVATE_H

/*
 * Start a detached thread with all signals blocked; 0, or an errno. It calls kafka_thread_ends() as
 * its last act.
 */
extern int	kafka_start_thread(void *(*fn) (void *), void *arg);
extern void kafka_thread_ends(void);

#endif							/* KAFKA_CONNECTION_PRIVATE_H */
