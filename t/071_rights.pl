# t/071_rights.pl
#		Who one is to Kafka: each role its own user, whatever a session does in between; a changed
#		user mapping at the next statement. And nobody is told a secret: by no log, no error, no
#		catalogue.
#
# The broker's ACLs tell its users apart: each may do what it may with its own topic.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $broker = KafkaFdw::Test->new_secure_broker('rights', latest => 1);

# PostgreSQL's own log of statements, which have secrets in them, is not what is tested here.
my $node = KafkaFdw::Test->new_node('rights', $broker, conf => q{
	log_statement = 'none'
	log_min_duration_statement = -1
	log_min_error_statement = 'panic'});
my %topic = map { $_ => KafkaFdw::Test->topic($_) } qw(alice albert);
my %password = (alice => 'alice-secret', albert => 'albert-secret');

foreach my $user (sort keys %topic)
{
	$node->safe_psql('postgres', "SELECT kafka_create_topic('$topic{$user}', 1, server => 'kafka')");
	$broker->allow("User:$user", 'READ,WRITE', 'TOPIC', $topic{$user});
}

# A server with a password for each of two roles, and a table for each topic that both may use.
KafkaFdw::Test->create_server($node, 'sasl', $broker->bootstrap('sasl_plaintext'),
	"security_protocol 'sasl_plaintext', sasl_mechanism 'PLAIN'");

my %create_mapping = map { $_ => "CREATE USER MAPPING FOR $_ SERVER sasl
		OPTIONS (sasl_username '$_', sasl_password '$password{$_}')" } keys %password;

$node->safe_psql('postgres', qq{
	CREATE ROLE alice LOGIN;
	CREATE ROLE albert LOGIN;
	CREATE ROLE nobody LOGIN;
	GRANT USAGE ON FOREIGN SERVER sasl TO alice, albert;
	GRANT CREATE ON SCHEMA public TO alice, albert;
	$create_mapping{alice};
	$create_mapping{albert};
	CREATE FOREIGN TABLE of_alice (value text) SERVER sasl OPTIONS (topic '$topic{alice}');
	CREATE FOREIGN TABLE of_albert (value text) SERVER sasl OPTIONS (topic '$topic{albert}');
	GRANT ALL ON of_alice, of_albert TO alice, albert;
	SET ROLE alice;
	CREATE FUNCTION send_as_alice(topic text) RETURNS bigint LANGUAGE sql SECURITY DEFINER
		AS \$\$ SELECT kafka_send(topic, 'by a function of alice', server => 'sasl') \$\$;
	CREATE FUNCTION read_as_alice() RETURNS bigint LANGUAGE sql SECURITY DEFINER
		AS \$\$ SELECT count(*) FROM of_alice \$\$;
	CREATE VIEW view_of_alice AS SELECT value FROM of_alice;
	CREATE VIEW invoker WITH (security_invoker) AS SELECT value FROM of_alice;
	GRANT ALL ON view_of_alice, invoker TO albert});

my $session = KafkaFdw::Test->session($node);

# In one session, as that role: a statement works, or is refused by the cluster.
sub as_role
{
	my ($role, $sql, $may, $name) = @_;

	$session->query("SET ROLE $role");
	my ($state, $text) = $session->failure($sql);

	is($state, $may ? 'none' : '42501', "$role: " . ($name // $sql =~ s/\.[0-9a-f.]+//r));
	like($text, qr/opic authorization failed/, "$role: it is the cluster that refuses") if !$may;
	return;
}

sub other { return $_[0] eq 'alice' ? 'albert' : 'alice'; }

#----------------------------------------------------------------------
# SET ROLE, functions, views
#----------------------------------------------------------------------

foreach my $round (1 .. 3)
{
	foreach my $role ('alice', 'albert')
	{
		my $other = other($role);

		as_role($role, "SELECT kafka_send('$topic{$role}', 'x', server => 'sasl')", 1);
		as_role($role, "SELECT kafka_send('$topic{$other}', 'x', server => 'sasl')", 0);
		as_role($role, "INSERT INTO of_$role VALUES ('y'), ('z')", 1);
		as_role($role, "INSERT INTO of_$other VALUES ('y'), ('z')", 0);
		as_role($role, "SELECT count(*) FROM of_$role", 1);
		as_role($role, "SELECT count(*) FROM of_$other", 0);
		as_role($role, "SELECT * FROM kafka_last('$topic{$role}', server => 'sasl')", 1);
		as_role($role, "SELECT * FROM kafka_last('$topic{$other}', server => 'sasl')", 0);
	}
}

# A role's handles are its own, and used by it alone.
$session->query('SELECT kafka_disconnect()');
foreach my $count (1 .. 5)
{
	as_role($_, "SELECT kafka_send('$topic{$_}', 'x', server => 'sasl')", 1, "send $count")
	  foreach 'alice', 'albert';
	as_role('alice', 'SELECT count(*) FROM of_alice', 1, "scan $count");
}
$session->query('RESET ROLE');
is($session->query(q{
		SELECT string_agg(role || ' ' || kind || ' ' || uses, ', ' ORDER BY role, kind)
		FROM kafka_connections}),
	'albert producer 5, alice consumer 5, alice producer 5', 'each role has handles of its own');

# Functions and views act for their owner, and only they do.
foreach my $case (
	[ 'albert', "SELECT send_as_alice('$topic{alice}')", 1 ],
	[ 'albert', "SELECT send_as_alice('$topic{albert}')", 0 ],
	[ 'albert', 'SELECT read_as_alice()', 1 ],
	[ 'albert', 'SELECT count(*) FROM of_alice', 0 ],
	[ 'albert', 'SELECT count(*) FROM view_of_alice', 1 ],
	[ 'albert', 'SELECT count(*) FROM invoker', 0 ],
	[ 'alice', 'SELECT count(*) FROM invoker', 1 ],
	[ 'albert', "INSERT INTO view_of_alice VALUES ('through a view')", 1 ],
	[ 'albert', "INSERT INTO invoker VALUES ('through a view')", 0 ],
	[ 'albert', 'SELECT (SELECT count(*) FROM view_of_alice) + (SELECT count(*) FROM of_albert)', 1 ],
	[ 'albert', 'SELECT count(*) FROM view_of_alice, of_alice', 0 ],
	[ 'albert', 'SELECT count(*) FROM of_alice, view_of_alice', 0 ])
{
	as_role(@$case);
}

# A cursor stays with the role that opened it.
$session->query('RESET ROLE');
$session->query(q{
	BEGIN;
	SET LOCAL ROLE alice;
	DECLARE c CURSOR FOR SELECT value FROM of_alice;
	FETCH 1 FROM c;
	SET LOCAL ROLE albert;
	DECLARE d CURSOR FOR SELECT value FROM of_albert;
	FETCH 1 FROM d;
	FETCH 1 FROM c;
	RESET ROLE});
is($session->stderr, '', 'two cursors of two roles');
is($session->query(q{
		SELECT string_agg(role, ' ' ORDER BY role) FROM kafka_connections WHERE in_use}),
	'albert alice', 'two cursors of two roles have two handles');
$session->query('COMMIT');

#----------------------------------------------------------------------
# A mapping for PUBLIC
#----------------------------------------------------------------------

KafkaFdw::Test->create_server($node, 'everybody', $broker->bootstrap('sasl_plaintext'),
	"security_protocol 'sasl_plaintext', sasl_mechanism 'PLAIN'");
$node->safe_psql('postgres', qq{
	GRANT USAGE ON FOREIGN SERVER everybody TO alice, albert;
	CREATE USER MAPPING FOR PUBLIC SERVER everybody
		OPTIONS (sasl_username 'alice', sasl_password '$password{alice}')});
foreach my $role ('alice', 'albert')
{
	$session->query("SET ROLE $role");
	like($session->query("SELECT kafka_send('$topic{alice}', 'x', server => 'everybody')"), qr/^\d+$/,
		"$role: a mapping for PUBLIC");
}
$session->query('RESET ROLE');
is($session->query(q{SELECT count(*) FROM kafka_connections WHERE server = 'everybody'}), '2',
	'not even roles with the same credentials share a handle');

# One of one's own goes before it, from the next statement on.
$node->safe_psql('postgres', $create_mapping{albert} =~ s/SERVER sasl/SERVER everybody/r);
as_role('albert', "SELECT kafka_send('$topic{alice}', 'x', server => 'everybody')", 0,
	'a mapping of its own goes before that for PUBLIC');
as_role('albert', "SELECT kafka_send('$topic{albert}', 'x', server => 'everybody')", 1,
	'a mapping of its own is in force');
$node->safe_psql('postgres', 'DROP USER MAPPING FOR albert SERVER everybody');
as_role('albert', "SELECT kafka_send('$topic{alice}', 'x', server => 'everybody')", 1,
	'when it is dropped, that for PUBLIC is in force again');

#----------------------------------------------------------------------
# Changes, under a running session
#----------------------------------------------------------------------

# Statements of alice, which keep handles between them.
my @statements = (
	"SELECT kafka_send('$topic{alice}', 'x', server => 'sasl')",
	"INSERT INTO of_alice VALUES ('x'), ('y')",
	'SELECT count(*) FROM of_alice');

sub all_work
{
	my ($may, $name) = @_;

	as_role('alice', $_, $may, $name) foreach @statements;
	return;
}

sub all_fail
{
	my ($sqlstate, $text, $name) = @_;

	$session->query('SET ROLE alice');
	foreach my $statement (@statements)
	{
		my ($state, $error) = $session->failure($statement);

		like($state, qr/^$sqlstate$/, "$name: SQLSTATE");
		like($error, $text, "$name: cause");
	}
	return;
}

# The same changes are made by another session, and by the session itself between two statements.
foreach my $by ('another session', 'the session itself')
{
	my $change = sub {
		my ($sql) = @_;

		return $node->safe_psql('postgres', $sql) if $by eq 'another session';
		$session->query("RESET ROLE; $sql");
		is($session->stderr, '', 'a change') if $session->stderr;
		return;
	};

	all_work(1, "before $by changes something");
	$change->("ALTER USER MAPPING FOR alice SERVER sasl OPTIONS (SET sasl_password 'wrong-canary')");
	all_fail('28000', qr/Invalid username or password/, "a wrong password by $by");
	$change->("ALTER USER MAPPING FOR alice SERVER sasl OPTIONS (SET sasl_password '$password{alice}')");
	all_work(1, "the right password by $by");
	$change->("ALTER USER MAPPING FOR alice SERVER sasl OPTIONS (SET sasl_username 'albert',
		SET sasl_password '$password{albert}')");
	all_work(0, "another's password by $by");
	$change->('DROP USER MAPPING FOR alice SERVER sasl');
	all_fail('28000', qr/Role "alice" has no user mapping/, "the mapping dropped by $by");
	$change->("CREATE USER MAPPING FOR PUBLIC SERVER sasl OPTIONS (sasl_username 'alice',
		sasl_password '$password{alice}')");
	all_work(1, "a mapping for PUBLIC by $by");
	$change->('DROP USER MAPPING FOR PUBLIC SERVER sasl');
	all_fail('28000', qr/Role "alice" has no user mapping/, "and that dropped by $by");
	$change->($create_mapping{alice});
	all_work(1, "a mapping made by $by");

	$change->("ALTER SERVER sasl OPTIONS (SET bootstrap_servers '127.0.0.1:1', ADD metadata_timeout '3s')");
	all_fail('0800[16]', qr/Connection refused/, "another address by $by");
	$change->("ALTER SERVER sasl OPTIONS (SET bootstrap_servers '" . $broker->bootstrap('sasl_plaintext')
		  . "', DROP metadata_timeout)");
	all_work(1, "the right address by $by");
}

# What is under way goes on as it began; the next statement does not.
$session->query('RESET ROLE; BEGIN; SET LOCAL ROLE alice;
	DECLARE c CURSOR FOR SELECT value FROM of_alice; MOVE 1 FROM c');
$node->safe_psql('postgres', 'DROP USER MAPPING FOR alice SERVER sasl');
$session->query('MOVE ALL FROM c');
is($session->stderr, '', 'a cursor outlives its user mapping');
my ($state) = $session->failure('SELECT count(*) FROM of_alice');
is($state, '28000', 'the next statement of the transaction does not');
$session->query('ROLLBACK');
$node->safe_psql('postgres', $create_mapping{alice});

# A role that is dropped, or may not use the server any more, takes nothing along.
all_work(1, 'with USAGE');
$node->safe_psql('postgres', 'REVOKE USAGE ON FOREIGN SERVER sasl FROM alice');
$session->query('SET ROLE alice');
($state) = $session->failure($statements[0]);
is($state, '42501', 'without USAGE on the server no function reaches Kafka');
like($session->query($statements[2]), qr/^\d+$/, 'a table does: SELECT on it is what counts');
$node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER sasl TO alice');
all_work(1, 'with USAGE again');

#----------------------------------------------------------------------
# allowed_topics
#----------------------------------------------------------------------

$node->safe_psql('postgres', "ALTER SERVER sasl OPTIONS (ADD allowed_topics '$topic{alice},other.*')");
all_work(1, 'a topic that is allowed');
$session->query('RESET ROLE');
foreach my $statement (
	"SELECT kafka_send('$topic{albert}', 'x', server => 'sasl')",
	"SELECT * FROM kafka_produce('$topic{albert}', 'x', server => 'sasl')",
	"SELECT * FROM kafka_read('$topic{albert}', server => 'sasl')",
	"SELECT * FROM kafka_last('$topic{albert}', server => 'sasl')",
	"SELECT kafka_create_topic('$topic{albert}.new', 1, server => 'sasl')",
	"SELECT kafka_delete_topic('$topic{albert}', 'sasl')",
	"SELECT kafka_add_partitions('$topic{albert}', 2, 'sasl')",
	"SELECT kafka_delete_records('$topic{albert}', 0, 1, 'sasl')",
	"SELECT kafka_set_topic_config('$topic{albert}', '{}', 'sasl')",
	"SELECT * FROM kafka_topic_config('$topic{albert}', 'sasl')",
	"SELECT * FROM kafka_partitions('$topic{albert}', 'sasl')",
	'SELECT * FROM of_albert',
	"INSERT INTO of_albert VALUES ('x')",
	"COPY of_albert FROM PROGRAM 'echo x'")
{
	my ($code, $text) = $session->failure($statement);

	is($code, '42501', "allowed_topics: $statement");
	like($text, qr/is not among the allowed topics of server "sasl"/, "allowed_topics: $statement: cause");
}
$node->safe_psql('postgres', "ALTER SERVER kafka OPTIONS (ADD allowed_topics '$topic{alice},other.*')");
is($session->query("RESET ROLE; SELECT string_agg(topic, ' ') FROM kafka_topics('kafka')"), $topic{alice},
	'allowed_topics: the list of topics');
is($session->query("SELECT DISTINCT topic FROM kafka_partitions(server => 'kafka')"), $topic{alice},
	'allowed_topics: the list of partitions');
$node->safe_psql('postgres', q{
	ALTER SERVER kafka OPTIONS (DROP allowed_topics);
	ALTER SERVER sasl OPTIONS (DROP allowed_topics)});
as_role('albert', 'SELECT count(*) FROM of_albert', 1, 'without allowed_topics');
$session->quit;

#----------------------------------------------------------------------
# Secrets
#----------------------------------------------------------------------

# librdkafka says all it can, and the client is told all as well. The key is a secret, too; what is
# looked for is a line of it.
my $key = $broker->pem('client-encrypted.key');
my ($key_line) = $key =~ /^([A-Za-z0-9+\/]{64})$/m;
my @secrets = (values %password, 'wrong-canary', 'bob-secret', 'key-secret', 'odd-canary',
	'client-canary', $key_line);
my $ca = $broker->pem('ca.pem');

$node->safe_psql('postgres', qq{
	ALTER SERVER sasl OPTIONS (ADD debug 'all');
	CREATE SERVER scram FOREIGN DATA WRAPPER kafka_fdw OPTIONS (
		bootstrap_servers '@{[ $broker->bootstrap('sasl_ssl') ]}', security_protocol 'sasl_ssl',
		sasl_mechanism 'SCRAM-SHA-256', ssl_ca_pem '$ca', debug 'all');
	CREATE USER MAPPING FOR alice SERVER scram OPTIONS (sasl_username 'bob', sasl_password 'bob-secret');
	CREATE SERVER mtls FOREIGN DATA WRAPPER kafka_fdw OPTIONS (
		bootstrap_servers '@{[ $broker->bootstrap('mtls') ]}', security_protocol 'ssl', ssl_ca_pem '$ca',
		debug 'all');
	CREATE USER MAPPING FOR alice SERVER mtls OPTIONS (
		ssl_certificate_pem '@{[ $broker->pem('client.pem') ]}', ssl_key_pem '$key',
		ssl_key_password 'key-secret');
	CREATE USER MAPPING FOR albert SERVER mtls OPTIONS (
		ssl_certificate_pem '@{[ $broker->pem('client.pem') ]}', ssl_key_pem '$key',
		ssl_key_password 'wrong-canary');
	CREATE USER MAPPING FOR albert SERVER scram OPTIONS (sasl_username 'bob', sasl_password 'wrong-canary');
	GRANT USAGE ON FOREIGN SERVER scram, mtls TO alice, albert});
# Not every librdkafka has it.
$node->psql('postgres', q{
	ALTER USER MAPPING FOR albert SERVER scram OPTIONS (ADD sasl_oauthbearer_client_secret 'client-canary')});
$broker->allow('User:CN=client', 'READ,WRITE', 'TOPIC', $topic{alice});
$broker->allow('User:bob', 'READ,WRITE', 'TOPIC', $topic{alice});

$node->safe_psql('postgres', q{ALTER SYSTEM SET log_min_messages = 'debug5'});
$node->reload;

my $told = '';
my $talker = KafkaFdw::Test->session($node, set => { VERBOSITY => 'verbose' });

# Run something with all that can be said of it.
sub hear
{
	my ($sql) = @_;

	$told .= $talker->query($sql);
	my $said = $talker->stderr;

	$told .= $said;
	return $said;
}

# The statement itself must not be where it would be: with it in the error, or in the log.
hear('SET client_min_messages = debug5');
foreach my $role ('alice', 'albert')
{
	hear("RESET ROLE; SET ROLE $role");
	foreach my $server ('sasl', 'scram', 'mtls')
	{
		hear("SELECT kafka_send('$topic{alice}', 'x', server => '$server')");
		hear("SELECT * FROM kafka_last('$topic{alice}', 1, '$server')");
	}
	hear("INSERT INTO of_$role VALUES ('x')");
	foreach my $format ('text', 'json', 'xml')
	{
		hear("EXPLAIN (ANALYZE, VERBOSE, SETTINGS, FORMAT $format) SELECT * FROM of_$role");
		hear("EXPLAIN (ANALYZE, VERBOSE, FORMAT $format) INSERT INTO of_$role VALUES ('x')");
	}
	hear('SELECT * FROM kafka_connections');
}
hear('RESET ROLE');
like($told, qr/SASL_PLAINTEXT|sasl_plaintext:/, 'librdkafka had something to say');
like($told, qr/\[redacted\]/, 'of its configuration, too');

# Errors in statements that have a secret in them: the server's words do not have it. (psql's LINE,
# which would, is not asked for by a syntax error here.)
foreach my $sql (
	"ALTER USER MAPPING FOR alice SERVER scram OPTIONS (SET sasl_password ' odd-canary')",
	"ALTER USER MAPPING FOR alice SERVER scram OPTIONS (SET sasl_password 'odd-canary', ADD nonsense 'x')",
	"ALTER USER MAPPING FOR alice SERVER scram OPTIONS (ADD sasl_password 'odd-canary')",
	"ALTER USER MAPPING FOR alice SERVER scram OPTIONS (SET ssl_key_pem 'odd-canary')",
	"CREATE USER MAPPING FOR alice SERVER scram OPTIONS (sasl_password 'odd-canary')",
	"CREATE USER MAPPING FOR nobody SERVER scram OPTIONS (sasl_password 'odd-canary', \"sasl.password\" 'odd-canary')",
	"CREATE USER MAPPING FOR nobody SERVER scram OPTIONS (sasl_passwort 'odd-canary')",
	"CREATE SERVER s FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers 'x', sasl_password 'odd-canary')",
	"CREATE FOREIGN TABLE t (value text) SERVER scram OPTIONS (sasl_password 'odd-canary')",
	"ALTER SERVER scram OPTIONS (ADD ssl_key_password 'odd-canary')")
{
	like(hear($sql), qr/ERROR/, "an error: $sql");
}
foreach my $secret (@secrets)
{
	is(index($told, $secret), -1, "the client is told no secret") or diag("it is $secret");
}

# A statement under way, as others see it.
$talker->query('SET ROLE alice');
$talker->send("SELECT kafka_send('$topic{alice}', 'x', server => 'sasl'), pg_sleep(1000)");
$node->poll_query_until('postgres',
	"SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = " . $talker->pid)
  or die 'it does not sleep';

# Whatever can be read: all of the catalogues, by their rows as text. The secrets are written
# backwards, or they would be found in this very statement.
my $find = q{
	CREATE FUNCTION pg_temp.find(pattern text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		rel regclass;
		found bigint;
	BEGIN
		FOR rel IN
			SELECT c.oid FROM pg_class c
			WHERE relkind IN ('r', 'v') AND (relnamespace IN ('pg_catalog'::regnamespace,
				'information_schema'::regnamespace) OR relname = 'kafka_connections')
		LOOP
			BEGIN
				EXECUTE format('SELECT count(*) FROM %s t WHERE t::text ~ $1', rel)
					INTO found USING pattern;
				IF found > 0 THEN
					RETURN NEXT rel::text;
				END IF;
			EXCEPTION WHEN insufficient_privilege OR feature_not_supported
				OR object_not_in_prerequisite_state THEN
				NULL;
			END;
		END LOOP;
	END $$};

# The relations that show one of some secrets to a role.
sub shown_to
{
	my ($role, @wanted) = @_;
	my $pattern = reverse join '|', map { quotemeta } @wanted;

	return $node->safe_psql('postgres', "SET ROLE $role; $find; SELECT string_agg(f, ' ' ORDER BY f)
		FROM pg_temp.find(reverse('$pattern')) f");
}

is(shown_to('nobody', @secrets), '', 'no catalogue shows another role a secret');
is(shown_to('alice', 'bob-secret'), 'information_schema.user_mapping_options pg_user_mappings',
	'the role whose it is sees its own by way of the views for that');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_user_mapping
		WHERE umoptions::text LIKE '%bob-' || 'secret%'}), '1', 'PostgreSQL keeps it where it always does');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE query ~ reverse('}
		  . reverse(join '|', map { quotemeta } @secrets) . q{')}),
	'0', 'not even a superuser sees one in pg_stat_activity');
$talker->cancel;
$talker->quit;

# The log has all of it, but the secrets.
my $log = slurp_file($node->logfile);

like($log, qr/DEBUG:  .*librdkafka: .*SASL/, 'the log has what librdkafka said');
foreach my $secret (@secrets)
{
	my ($line) = $log =~ /^(.*\Q$secret\E.*)$/m;

	is($line, undef, 'the log has no secret') or diag("it is $secret");
}

#----------------------------------------------------------------------
# SCRAM and Kafka 4
#----------------------------------------------------------------------

SKIP:
{
	skip 'this librdkafka can', 2 if $broker->client_version >= 0x02060100;
	my $scram = KafkaFdw::Test->session($node, user => 'alice');
	my ($code, $text) = $scram->failure("SELECT kafka_send('$topic{alice}', 'x', server => 'scram')");

	is($code, '28000', 'SCRAM of an old librdkafka with Kafka 4: SQLSTATE');
	like($text, qr/Kafka 4\.0 and later take SCRAM from librdkafka 2\.6\.1 and later only/,
		'SCRAM of an old librdkafka with Kafka 4: cause');
	$scram->quit;
}

unlike($log, qr/terminated by signal|exited with exit code [^01]/, 'no backend crashed');

done_testing();
