# bench/cluster.sh
#		The same scan where three brokers share the partitions. Sourced by bench/run.

# Start three brokers; prints their addresses.
cluster_start()
{
	as_user env KAFKA_DATA="$work/tmp/cluster" KAFKA_OWNER_PID=$$ "$work/src/dev/cluster" start
}

cluster_stop()
{
	as_user env KAFKA_DATA="$work/tmp/cluster" "$work/src/dev/cluster" clean
}

section_cluster()
{
	local KAFKA_BOOTSTRAP
	local count=$((2000000 / scale))
	local round

	if [ ! -x "$work/src/dev/cluster" ]; then
		skip "cluster" "there is no dev/cluster"
		return
	fi
	progress "starting three brokers"
	KAFKA_BOOTSTRAP=$(cluster_start)
	sql <<Q >/dev/null
CREATE SERVER cluster FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '$KAFKA_BOOTSTRAP');
SELECT kafka_create_topic('spread', 6, 1, server => 'cluster');
CREATE FOREIGN TABLE spread (partition int, "offset" bigint, "timestamp" timestamptz, key text, value text)
	SERVER cluster;
Q
	"$bench/rdkafka" fill "$KAFKA_BOOTSTRAP" spread log "$count" 6 none 1000000 >/dev/null
	for ((round = 1; round <= rounds; round++)); do
		progress "reading from three brokers, round $round of $rounds"
		scan_clients cluster spread "$count" 6 "$round" rdkafka-callback rdkafka-batch franz-go
		scan_ours cluster spread "$count" $((count * 100)) "$round"
	done
	cluster_stop
}
