# bench/publish.sh
#		Row changes published: what each way costs who writes, and how fast a relay sends. Sourced by
#		bench/run.

deliveries="immediate commit outbox"

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

# Transactions of one row, from four sessions.
write_rows()
{
	local round=$1
	local count=$((8000 / (scale > 1 ? 20 : 1)))
	local way

	progress "publishing row changes, round $round of $rounds"
	for way in plain $deliveries; do
		repeat publish write "$way" "$round" -n "$count" -c 4 \
			-s "INSERT INTO written_$way (value) VALUES ('warm')" \
			"INSERT INTO written_$way (value) VALUES (repeat('x', 100))"
		wait_for_empty_outbox
	done
}

# How fast a relay sends what has gathered.
drain()
{
	local round=$1
	local count=$((200000 / scale))
	local begun

	sql -c "SELECT kafka_relay_stop('kafka')" >/dev/null
	until [ "$(sql -c "SELECT state FROM kafka_relays")" = stopped ]; do
		sleep 0.1
	done
	sql -c "INSERT INTO written_outbox (value) SELECT repeat('x', 100) FROM generate_series(1, $count)"
	begun=$EPOCHREALTIME
	sql -c "SELECT kafka_relay_start('kafka')" >/dev/null
	wait_for_empty_outbox
	record publish drain relay "$round" \
		"rate=$(awk -v n="$count" -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", n / (b - a) }')"
}

section_publish()
{
	local round

	prepare_publish
	for ((round = 1; round <= rounds; round++)); do
		write_rows "$round"
		drain "$round"
	done
}
