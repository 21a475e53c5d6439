/*
 * kacl.c
 *		Gives and takes a cluster's ACLs.
 *
 *	usage: kacl BOOTSTRAP
 *
 * It comes as a user who may do that, and begins with the number of its librdkafka's version, as in
 * "ok 33555199". Commands:
 *	allow PRINCIPAL OPERATION RESOURCE NAME		as in "allow User:bob READ TOPIC web_log"
 *	forbid PRINCIPAL OPERATION RESOURCE NAME	take the same back
 *	quit
 * When a command is answered, the broker goes by it. The cluster's own name is "kafka-cluster".
 */
#include <librdkafka/rdkafka.h>
#include <strings.h>
#include <unistd.h>

#include "tool.h"

#define TIMEOUT_MS 30000
#define LOOK_AGAIN_US 10000

/* What a command is about. */
typedef struct Acl
{
	char	   *principal;
	rd_kafka_AclOperation_t operation;
	rd_kafka_ResourceType_t resource;
	char	   *name;
} Acl;

/* librdkafka's number for a word, or -1. */
static int
find_operation(const char *word)
{
	for (int i = RD_KAFKA_ACL_OPERATION_ANY; i < RD_KAFKA_ACL_OPERATION__CNT; i++)
	{
		if (strcasecmp(rd_kafka_AclOperation_name(i), word) == 0)
			return i;
	}
	return -1;
}

static int
find_resource(const char *word)
{
	/* librdkafka's own word is "broker" */
	if (strcasecmp(word, "cluster") == 0)
		return RD_KAFKA_RESOURCE_BROKER;
	for (int i = RD_KAFKA_RESOURCE_ANY; i < RD_KAFKA_RESOURCE__CNT; i++)
	{
		if (strcasecmp(rd_kafka_ResourceType_name(i), word) == 0)
			return i;
	}
	return -1;
}

/* Wait for the answer to a request; NULL, and the reason answered, where it failed. */
static rd_kafka_event_t *
await(rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);

	if (event == NULL)
		tool_answer("error no answer came");
	else if (rd_kafka_event_error(event))
	{
		tool_answer("error %s", rd_kafka_event_error_string(event));
		rd_kafka_event_destroy(event);
		event = NULL;
	}
	return event;
}

/* The ACL as it is, or as a filter that it alone matches. */
static rd_kafka_AclBinding_t *
make_binding(const Acl *acl, int filter)
{
	char		errstr[256];
	rd_kafka_AclBinding_t *binding;

	binding = (filter ? rd_kafka_AclBindingFilter_new : rd_kafka_AclBinding_new)
		(acl->resource, acl->name, RD_KAFKA_RESOURCE_PATTERN_LITERAL, acl->principal, "*",
		 acl->operation, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, errstr, sizeof(errstr));
	if (binding == NULL)
		tool_die("%s", errstr);
	return binding;
}

/* Wait until the broker has the ACL, or until it has it no more; 0 where something went wrong. */
static int
wait_for_acl(rd_kafka_t *rk, rd_kafka_queue_t *queue, const Acl *acl, int there)
{
	for (;;)
	{
		rd_kafka_AclBinding_t *binding = make_binding(acl, 1);
		rd_kafka_event_t *event;
		size_t		count = 0;

		rd_kafka_DescribeAcls(rk, binding, NULL, queue);
		event = await(queue);
		rd_kafka_AclBinding_destroy(binding);
		if (event == NULL)
			return 0;
		rd_kafka_DescribeAcls_result_acls(rd_kafka_event_DescribeAcls_result(event), &count);
		rd_kafka_event_destroy(event);
		if ((count > 0) == there)
			return 1;
		usleep(LOOK_AGAIN_US);
	}
}

static void
change(rd_kafka_t *rk, rd_kafka_queue_t *queue, const Acl *acl, int allow)
{
	rd_kafka_AclBinding_t *binding = make_binding(acl, !allow);
	rd_kafka_event_t *event;
	const rd_kafka_error_t *error = NULL;
	size_t		count;

	if (allow)
		rd_kafka_CreateAcls(rk, &binding, 1, NULL, queue);
	else
		rd_kafka_DeleteAcls(rk, &binding, 1, NULL, queue);
	event = await(queue);
	rd_kafka_AclBinding_destroy(binding);
	if (event == NULL)
		return;
	if (allow)
		error = rd_kafka_acl_result_error(rd_kafka_CreateAcls_result_acls
										  (rd_kafka_event_CreateAcls_result(event), &count)[0]);
	else
		error = rd_kafka_DeleteAcls_result_response_error
			(rd_kafka_DeleteAcls_result_responses(rd_kafka_event_DeleteAcls_result(event), &count)[0]);
	if (error)
		tool_answer("error %s", rd_kafka_error_string(error));
	else if (wait_for_acl(rk, queue, acl, allow))
		tool_answer("ok");
	rd_kafka_event_destroy(event);
}

static void
run(rd_kafka_t *rk, rd_kafka_queue_t *queue, char *line)
{
	char	   *command = tool_word(&line);
	Acl			acl;
	int			operation;
	int			resource;

	acl.principal = tool_word(&line);
	operation = find_operation(tool_word(&line));
	resource = find_resource(tool_word(&line));
	acl.name = tool_word(&line);
	if (operation < 0 || resource < 0 || acl.name[0] == '\0' ||
		(strcmp(command, "allow") != 0 && strcmp(command, "forbid") != 0))
	{
		tool_answer("error unknown command");
		return;
	}
	acl.operation = operation;
	acl.resource = resource;
	change(rk, queue, &acl, strcmp(command, "allow") == 0);
}

int
main(int argc, char **argv)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	char		errstr[512];
	char	   *line;

	if (argc != 2)
		tool_die("usage: kacl BOOTSTRAP");
	if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], errstr, sizeof(errstr)))
		tool_die("%s", errstr);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr));
	if (rk == NULL)
		tool_die("%s", errstr);
	queue = rd_kafka_queue_new(rk);
	tool_answer("ok %d", rd_kafka_version());
	while ((line = tool_command()) != NULL && strcmp(line, "quit") != 0)
		run(rk, queue, line);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(rk);
	return 0;
}
