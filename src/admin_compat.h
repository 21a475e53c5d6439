/*
 * admin_compat.h
 *		What later versions of librdkafka can do for administration, and nothing else.
 *
 * Each can be used where the library has it both at compile time and at run time; where it has not,
 * the question before it says so, and what follows is not called.
 */
#ifndef KAFKA_ADMIN_COMPAT_H
#define KAFKA_ADMIN_COMPAT_H

#include <librdkafka/rdkafka.h>

#define RDKAFKA_2_2 0x020200ff	/* IncrementalAlterConfigs */
#define RDKAFKA_2_3 0x020300ff	/* DescribeCluster, with the brokers' racks */

#if RD_KAFKA_VERSION >= RDKAFKA_2_2
#define ALTER_INCREMENTALLY_OP RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS
#else
#define ALTER_INCREMENTALLY_OP RD_KAFKA_ADMIN_OP_ANY
#endif

#if RD_KAFKA_VERSION >= RDKAFKA_2_3
#define DESCRIBE_CLUSTER_OP RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER
#else
#define DESCRIBE_CLUSTER_OP RD_KAFKA_ADMIN_OP_ANY
#endif

/* Can single settings be changed, with no look at the others? */
static inline bool
kafka_can_alter_incrementally(void)
{
#if RD_KAFKA_VERSION >= RDKAFKA_2_2
	return rd_kafka_version() >= RDKAFKA_2_2;
#else
	return false;
#endif
}

/* Add a setting, or where value is NULL a reset; false where librdkafka does not take it. */
static inline bool
kafka_add_incrementally(rd_kafka_ConfigResource_t * resource, const char *name, const char *value)
{
#if RD_KAFKA_VERSION >= RDKAFKA_2_2
	rd_kafka_error_t *error =
		rd_kafka_ConfigResource_add_incremental_config(resource, name,
													   value ? RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET
													   : RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE,
													   value);

	if (error)
		rd_kafka_error_destroy(error);
	return error == NULL;
#else
	(void) resource;
	(void) name;
	(void) value;
	return false;
#endif
}

static inline void
kafka_alter_incrementally(rd_kafka_t *rk, rd_kafka_ConfigResource_t * resource,
						  const rd_kafka_AdminOptions_t * options, rd_kafka_queue_t *queue)
{
#if RD_KAFKA_VERSION >= RDKAFKA_2_2
	rd_kafka_IncrementalAlterConfigs(rk, &resource, 1, options, queue);
#else
	(void) rk;
	(void) resource;
	(void) options;
	(void) queue;
#endif
}

/* What became of the resources that an answer is about, however they were altered. */
static inline const rd_kafka_ConfigResource_t **
kafka_altered_resources(rd_kafka_event_t *event, size_t *n)
{
#if RD_KAFKA_VERSION >= RDKAFKA_2_2
	if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_INCREMENTALALTERCONFIGS_RESULT)
		return rd_kafka_IncrementalAlterConfigs_result_resources(rd_kafka_event_IncrementalAlterConfigs_result(event),
																 n);
#endif
	return rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), n);
}

/* Can the cluster be asked for more of its brokers than metadata tell? */
static inline bool
kafka_can_describe_cluster(void)
{
#if RD_KAFKA_VERSION >= RDKAFKA_2_3
	return rd_kafka_version() >= RDKAFKA_2_3;
#else
	return false;
#endif
}

static inline void
kafka_describe_cluster(rd_kafka_t *rk, const rd_kafka_AdminOptions_t * options,
					   rd_kafka_queue_t *queue)
{
#if RD_KAFKA_VERSION >= RDKAFKA_2_3
	rd_kafka_DescribeCluster(rk, options, queue);
#else
	(void) rk;
	(void) options;
	(void) queue;
#endif
}

/* The rack of a broker in the answer to that; NULL where it has none. */
static inline const char *
kafka_broker_rack(rd_kafka_event_t *event, int32_t broker)
{
#if RD_KAFKA_VERSION >= RDKAFKA_2_3
	size_t		n;
	const		rd_kafka_Node_t **nodes =
		rd_kafka_DescribeCluster_result_nodes(rd_kafka_event_DescribeCluster_result(event), &n);

	for (size_t i = 0; i < n; i++)
	{
		if (rd_kafka_Node_id(nodes[i]) == broker)
			return rd_kafka_Node_rack(nodes[i]);
	}
#else
	(void) event;
	(void) broker;
#endif
	return NULL;
}

#endif							/* KAFKA_ADMIN_COMPAT_H */
