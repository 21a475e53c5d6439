# bench/publish.sh
#		Row changes published: what each way costs who writes, and how fast a relay sends. Sourced by
#		bench/run.
#
# The server flushes its log here, as one that keeps data does: so a commit waits for the disk, which is what
# plain transactions of one row are about.

deliveries="immediate commit outbox"

# Start the server anew, with fsync on or off.
restart_with_fsync()
{
	as_user "$("$pg_config" --bindir)/pg_ctl" -D "$work/data" -l "$work/tmp/postgres.log" -s -w restart \
		-o "-p $PGPORT -k '$work/tmp' -c listen_addresses=127.0.0.1 -c fsync=$1"
}

prepare_publish()
{
	local delivery

	sql -c "SELECT kafka_create_topic('changes', 1)" >/dev/null
	sql -c "CREATE FOREIGN TABLE changes (value text) SERVER kafka"
	sql -c "CREATE TABLE written_plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text)"
	for delivery in $deliveries; do
		sql <<Q
CREATE TABLE written_$delivery (LIKE written_plain INCLUDING ALL);
CREATE TRIGGER publish AFTER INSERT OR UPDATE OR DELETE ON written_$delivery FOR EACH ROW
	EXECUTE FUNCTION kafka_publish('changes', 'server=kafka', 'delivery=$delivery');
Q
	done
}

outbox_is_empty()
{
	[ "$(sql -c "SELECT NOT EXISTS (SELECT FROM kafka_outbox)")" = t ]
}

wait_for_empty_outbox()
{
	local second

	for ((second = 0; second < 10 * limit; second++)); do
		outbox_is_empty && return
		sleep 0.1
	done
	complain publish "the outbox does not become empty"
}

stop_relay()
{
	sql -c "SELECT kafka_relay_stop('kafka')" >/dev/null
	until [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kafka_fdw relay'")" = 0 ]; do
		sleep 0.1
	done
}

start_relay()
{
	sql -c "SELECT kafka_relay_start('kafka')" >/dev/null
}

# Transactions of one row, from four sessions: into a table, noted as a system.
write_rows()
{
	local table=$1
	local system=$2
	local round=$3
	local count=$((40000 / (scale > 1 ? 40 : 1)))

	[ "$system" != immediate ] || count=$((count / 5))
	sql -c "CHECKPOINT"
	repeat publish write "$system" "$round" -n "$count" -c 4 \
		-s "INSERT INTO written_$table (value) VALUES ('warm')" \
		"INSERT INTO written_$table (value) VALUES (repeat('x', 100))"
}

# Each way beside a table without a trigger; the outbox with its relay at work on the same processors, and without.
write_each_way()
{
	local round=$1
	local way

	progress "publishing row changes, round $round of $rounds"
	for way in plain $deliveries; do
		write_rows "$way" "$way" "$round"
		wait_for_empty_outbox
	done
	stop_relay
	write_rows outbox stored "$round"
	start_relay
	wait_for_empty_outbox
}

# How fast a relay sends what has gathered.
drain()
{
	local round=$1
	local count=$((200000 / scale))
	local begun

	stop_relay
	sql -c "INSERT INTO written_outbox (value) SELECT repeat('x', 100) FROM generate_series(1, $count)"
	begun=$EPOCHREALTIME
	start_relay
	wait_for_empty_outbox
	record publish drain relay "$round" \
		"rate=$(awk -v n="$count" -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", n / (b - a) }')"
}

section_publish()
{
	local round

	prepare_publish
	restart_with_fsync on
	for ((round = 1; round <= rounds; round++)); do
		write_each_way "$round"
		drain "$round"
	done
	restart_with_fsync off
}
