/*
 * admin_private.h
 *		What the files of admin share with nobody else: a call of one of its functions, from the
 *		check of rights to the last row.
 */
#ifndef KAFKA_ADMIN_PRIVATE_H
#define KAFKA_ADMIN_PRIVATE_H

#include "fmgr.h"
#include "funcapi.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "connection.h"
#include "text.h"

/* What a function's first argument names. */
typedef enum AdminObject
{
	ADMIN_CLUSTER,				/* nothing: it is about the cluster */
	ADMIN_TOPIC,
	ADMIN_TOPICS,				/* a topic, or where it is NULL all of them */
	ADMIN_GROUP
} AdminObject;

/* One of the functions. */
typedef struct AdminFunction
{
	const char *name;			/* for messages, with parentheses */
	AdminObject object;
	int			server_arg;		/* the argument that names the server */
	bool		changes;		/* the cluster */
	const char *failure;		/* what could not be done: takes the object, where there is one,
								 * and the server */
} AdminFunction;

/* How far a function has come that changes the cluster. */
typedef enum AdminChange
{
	ADMIN_NOT_ASKED,
	ADMIN_ASKED,				/* the cluster may make the change, whatever becomes of us */
	ADMIN_MADE
} AdminChange;

/* A call of one. Hangs on a context of its own, whose reset gives everything back. */
typedef struct AdminCall
{
	MemoryContext cxt;
	MemoryContextCallback callback;
	const AdminFunction *function;
	const char *failure;		/* what could not be done, with its names */
	KafkaServer *server;
	char	   *object;			/* topic, or group in UTF-8; NULL: all topics, the cluster */
	TimestampTz ends;			/* when its time is over ... */
	KafkaDeadline deadline;		/* ... and the same for slices of it */
	KafkaHandle *handle;
	rd_kafka_queue_t *queue;	/* where answers come */
	rd_kafka_AdminOptions_t *options;
	rd_kafka_event_t **events;	/* the answers */
	int			nevents;
	bool		waiting;		/* an answer is still to come */
	const rd_kafka_metadata_t *metadata;	/* of the last look */
	rd_kafka_topic_partition_list_t *offsets;	/* of the last look-up */
	ReturnSetInfo *result;		/* functions that return rows */
	MemoryContext attempt_cxt;	/* for what one attempt finds; reset by the next */
	MemoryContext row_cxt;		/* reset after each row */
	KafkaText	text;
	AdminChange change;
	ErrorContextCallback context;	/* says so, where the call is interrupted */
} AdminCall;

/*
 * Begin a call: check the role's rights and the arguments that all functions have. Contacts nobody.
 * A function that returns rows makes ready for them.
 */
extern AdminCall *kafka_admin_begin(FunctionCallInfo fcinfo, const AdminFunction *function);

/*
 * Take a handle; where the call has one already, it is given back. The time runs from the first
 * handle on. The isolation level decides which end of a partition a look-up finds.
 */
extern void kafka_admin_open(AdminCall *call, bool read_committed);

/* The end of a call that went well. What is left of one that did not is seen to by its context. */
extern void kafka_admin_end(AdminCall *call);

/* ERROR where argument n is NULL. */
extern void kafka_admin_require(FunctionCallInfo fcinfo, const AdminFunction *function, int n,
								const char *name);

/* The time that is left, in ms. */
extern int	kafka_admin_time_left(const AdminCall *call);

/* True where a call may be tried again after this error; waits a little first. */
extern bool kafka_admin_retry(AdminCall *call, rd_kafka_resp_err_t err);

/*
 * Make ready for requests of this kind: what came of earlier ones is given back. Each request that
 * is then sent (to call->queue, with call->options) has timeout_ms, or where that is 0 the time that
 * is left; it may be sent to one broker rather than to the one that librdkafka would choose. From the
 * request of a change on an interrupted call says that the cluster may make it.
 */
extern void kafka_admin_prepare(AdminCall *call, rd_kafka_admin_op_t op, int timeout_ms);
extern void kafka_admin_to_broker(AdminCall *call, int32 broker);

/* Who has answered a request that was sent to one broker. */
extern int32 kafka_admin_from_broker(rd_kafka_event_t *event);

/*
 * Wait for the answers to so many requests, in call->events. Each request has one: the timeout is an
 * answer, too. Raises what waiting does not mend; failed answers are for the caller.
 */
extern void kafka_admin_await(AdminCall *call, int nrequests);

/* The same for one request, whose failure is raised. A change that was asked for is made then. */
extern rd_kafka_event_t *kafka_admin_answer(AdminCall *call);

/* Raise what librdkafka or the cluster said of a request; errstr may be NULL. */
pg_noreturn extern void kafka_admin_report(AdminCall *call, rd_kafka_resp_err_t err,
										   const char *errstr);

/* WARNING: the change was made, but does not show. */
extern void kafka_admin_warn_unseen(AdminCall *call);

/* Text of the database as a string of UTF-8, which is what goes over the wire. */
extern char *kafka_admin_utf8(const char *data, Size len);

/* A string from the wire as a text datum of the current row; *isnull where it is NULL. */
extern Datum kafka_admin_text(AdminCall *call, const char *string, bool *isnull);

/* Add a row to the result. */
extern void kafka_admin_row(AdminCall *call, Datum *values, bool *nulls);

/*
 * admin_lookup.c: look at the metadata of one topic, or of all where it is NULL, which
 * call->metadata has until the next look. The error is the request's.
 */
extern rd_kafka_resp_err_t kafka_admin_look(AdminCall *call, const char *topic);

/* The same for the call's topic; the error is the request's, or the topic's. */
extern rd_kafka_resp_err_t kafka_admin_look_at_topic(AdminCall *call);

/*
 * A name to look at where only the brokers are wanted: librdkafka cannot ask for no topic at all.
 * Whether there is one is of no account.
 */
#define ADMIN_NO_TOPIC "__consumer_offsets"

/*
 * Offsets of a list of partitions at a time: of the first message that is not older, or at one end
 * of the partition. One request a broker (and thousand partitions). The call owns the list
 * (call->offsets) until the next look-up. An error of one partition alone is in its "err"; one that
 * fails the whole request is returned. Either is tried once more with new metadata.
 */
#define ADMIN_EARLIEST (-2)
#define ADMIN_LATEST (-1)

extern rd_kafka_resp_err_t kafka_admin_offsets(AdminCall *call,
											   rd_kafka_topic_partition_list_t *list, int64 time);

/* Raise an error of that, with the partition that it is about. */
pg_noreturn extern void kafka_admin_report_offsets(AdminCall *call, rd_kafka_resp_err_t err);

/* admin_config.c: a topic's setting, in UTF-8; a value of NULL is a reset. */
typedef struct AdminSetting
{
	char	   *name;
	char	   *value;
} AdminSetting;

/* Settings from an argument: a List of AdminSetting *. */
extern List *kafka_admin_settings(Jsonb *config, bool resets);

/*
 * Ask each broker of call->metadata for the topic's settings, and wait for the answers, which are
 * call->events. A broker that is frozen holds this up for a part of the time alone.
 */
extern void kafka_admin_ask_all_brokers(AdminCall *call);

/* How long to wait for the other brokers once one shows a change. */
#define ADMIN_SETTLE_MS 1000
#define ADMIN_LOOK_INTERVAL_MS 10	/* between two looks */

#endif							/* KAFKA_ADMIN_PRIVATE_H */
