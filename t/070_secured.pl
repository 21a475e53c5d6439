# t/070_secured.pl
#		A broker with TLS, SASL and ACLs. Every way in works, for SELECT, kafka_send and INSERT. Every
#		way that is closed is reported within the connect timeout, with its cause and SQLSTATE, as
#		often as it is tried; and the next statement of the same session works once it is mended.
use strict;
use warnings;

use KafkaFdw::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# What an end may take on a machine that is busy with other things, beside the time it should.
my $slack = 60;

my $broker = KafkaFdw::Test->new_secure_broker('secured');
my $node = KafkaFdw::Test->new_node('secured', $broker);
my $session = KafkaFdw::Test->session($node);
my $topic = KafkaFdw::Test->topic('secured');

$node->safe_psql('postgres', "SELECT kafka_create_topic('$topic', 2, server => 'kafka')");

# The text of an OPTIONS clause.
sub options
{
	my (%options) = @_;

	return join ', ', map { my $v = $options{$_} =~ s/'/''/gr; "$_ '$v'" } sort keys %options;
}

# A server for a listener, a user mapping, and a foreign table of the server's name on the topic.
sub create
{
	my ($server, $listener, $options, $mapping) = @_;

	KafkaFdw::Test->create_server($node, $server, $broker->bootstrap($listener), options(%$options));
	$node->safe_psql('postgres', qq{
		CREATE FOREIGN TABLE $server (partition int, "offset" bigint, value text)
			SERVER $server OPTIONS (topic '$topic')});
	$node->safe_psql('postgres',
		"CREATE USER MAPPING FOR CURRENT_USER SERVER $server OPTIONS (" . options(%$mapping) . ')')
	  if $mapping;
	return;
}

# The three things that one wants to do.
sub statements
{
	my ($server) = @_;

	return (
		[ 'SELECT', "SELECT count(*) FROM $server" ],
		[ 'kafka_send', "SELECT kafka_send('$topic', 'sent by $server', server => '$server')" ],
		[ 'INSERT', "INSERT INTO $server (value) SELECT 'inserted by $server' FROM generate_series(1, 3)" ]);
}

# Each of them works.
sub works
{
	my ($server, $name) = @_;

	foreach my $statement (statements($server))
	{
		$session->query($statement->[1]);
		is($session->stderr, '', "$name: $statement->[0]");
	}
	is($session->query(qq{
			SELECT (count(*) FILTER (WHERE value = 'sent by $server')
				* 3 - count(*) FILTER (WHERE value = 'inserted by $server')) FROM $server}),
		'0', "$name: what was sent is there");
	cmp_ok($session->query("SELECT count(*) FROM $server WHERE value = 'sent by $server'"), '>=', 1,
		"$name: it was sent");
	return;
}

# Each of them fails, at the first attempt and at the second, with this SQLSTATE (a pattern) and text,
# after as many seconds at most. Where it takes the whole of them, a broker that is busy may not have hung
# up by then: it is given more.
sub fails
{
	my ($server, $sqlstate, $text, $seconds, $whole, $name) = @_;

	foreach my $attempt ('first', 'second')
	{
		foreach my $statement (statements($server))
		{
			next if $attempt eq 'second' && $statement->[0] eq 'INSERT';
			my $start = time;
			my ($state, $error) = $session->failure($statement->[1]);

			if ($whole && $error !~ $text)
			{
				$node->safe_psql('postgres', "ALTER SERVER $server OPTIONS (SET metadata_timeout '30s')");
				($state, $error) = $session->failure($statement->[1]);
			}
			my $took = time - $start;

			like($state, qr/^$sqlstate$/, "$name: SQLSTATE of $statement->[0], $attempt attempt");
			like($error, $text, "$name: cause in $statement->[0], $attempt attempt");
			like($error, qr/^HINT:  /m, "$name: hint in $statement->[0], $attempt attempt");
			cmp_ok($took, '<', $seconds + $slack, "$name: end of $statement->[0], $attempt attempt");
			note(sprintf '%s: %s failed after %.3f s', $name, $statement->[0], $took);
		}
	}
	return;
}

#----------------------------------------------------------------------
# Ways in
#----------------------------------------------------------------------

my @ca = (ssl_ca_pem => $broker->pem('ca.pem'));
my @ssl = (security_protocol => 'ssl', @ca);
my %client = (ssl_certificate_pem => $broker->pem('client.pem'), ssl_key_pem => $broker->pem('client.key'));
my %password = map { $_ => { sasl_username => $_, sasl_password => "$_-secret" } }
  qw(alice albert bob bert carol cora);
my $jwt = { sasl_mechanism => 'OAUTHBEARER', enable_sasl_oauthbearer_unsecure_jwt => 'true',
	sasl_oauthbearer_config => 'principal=olga' };

# Name, listener, options, user mapping, and whom the broker then takes us for; undef: whoever may do
# anything.
my @ways = (
	[ 'tls', 'ssl', {@ssl} ],
	[ 'tls_file', 'ssl', { security_protocol => 'ssl', ssl_ca_location => $broker->tls('ca.pem') } ],
	[ 'plain_tls', 'sasl_ssl', { security_protocol => 'sasl_ssl', @ca, sasl_mechanism => 'PLAIN' },
		$password{alice}, 'alice' ],
	[ 'plain', 'sasl_plaintext', { security_protocol => 'sasl_plaintext', sasl_mechanism => 'PLAIN' },
		$password{albert}, 'albert' ],
	[ 'scram256_tls', 'sasl_ssl',
		{ security_protocol => 'sasl_ssl', @ca, sasl_mechanism => 'SCRAM-SHA-256' },
		$password{bob}, 'bob' ],
	[ 'scram256', 'sasl_plaintext',
		{ security_protocol => 'sasl_plaintext', sasl_mechanism => 'SCRAM-SHA-256' },
		$password{bert}, 'bert' ],
	[ 'scram512_tls', 'sasl_ssl',
		{ security_protocol => 'sasl_ssl', @ca, sasl_mechanism => 'SCRAM-SHA-512' },
		$password{carol}, 'carol' ],
	[ 'scram512', 'sasl_plaintext',
		{ security_protocol => 'sasl_plaintext', sasl_mechanism => 'SCRAM-SHA-512' },
		$password{cora}, 'cora' ],
	[ 'mtls_pem', 'mtls', {@ssl}, \%client, 'CN=client' ],
	[ 'mtls_key', 'mtls', {@ssl},
		{ %client, ssl_key_pem => $broker->pem('client-encrypted.key'), ssl_key_password => 'key-secret' },
		'CN=client' ],
	[ 'mtls_file', 'mtls',
		{ @ssl, ssl_certificate_location => $broker->tls('client.pem'),
			ssl_key_location => $broker->tls('client.key') },
		undef, 'CN=client' ],
	[ 'mtls_store', 'mtls', { @ssl, ssl_keystore_location => $broker->tls('client.p12') },
		{ ssl_keystore_password => 'store-secret' }, 'CN=client' ],
	[ 'oauth_tls', 'sasl_ssl', { security_protocol => 'sasl_ssl', @ca, %$jwt }, undef, 'olga' ],
	[ 'oauth', 'sasl_plaintext', { security_protocol => 'sasl_plaintext', %$jwt }, undef, 'olga' ]);

foreach my $way (@ways)
{
	my ($name, $listener, $options, $mapping, $user) = @$way;

	create($name, $listener, $options, $mapping);
	if (defined $user)
	{
		# The ACL tells that the broker takes us for nobody else.
		$broker->forbid("User:$user", 'READ,WRITE,DESCRIBE', 'TOPIC', $topic);
		foreach my $statement (statements($name))
		{
			my ($state) = $session->failure($statement->[1]);

			is($state, '42501', "$name: $statement->[0] without an ACL");
		}
		$broker->allow("User:$user", 'READ,WRITE', 'TOPIC', $topic);
	}
	works($name, $name);
}

#----------------------------------------------------------------------
# Ways that are closed
#----------------------------------------------------------------------

# Name, listener, options, user mapping, SQLSTATE, what the error says, whether it takes the whole
# timeout, and what mends it.
my $timeout = 1;
my $refused = qr/refused the client's certificate, or asks for one/;
my @closed = (
	[ 'no_ca', 'ssl', { security_protocol => 'ssl' }, undef,
		'08001', qr/certificate.*CN=broker.*not trusted.*authority/s, 0,
		'ALTER SERVER % OPTIONS (ADD ' . options(@ca) . ')' ],
	[ 'other_ca', 'ssl', { security_protocol => 'ssl', ssl_ca_pem => $broker->pem('other-ca.pem') }, undef,
		'08001', qr/certificate.*CN=broker.*not trusted.*authority/s, 0,
		'ALTER SERVER % OPTIONS (SET ' . options(@ca) . ')' ],
	[ 'expired', 'expired', {@ssl}, undef, '08001', qr/certificate.*CN=broker.*expired/s, 0,
		'ALTER SERVER % OPTIONS (SET bootstrap_servers \'' . $broker->bootstrap('ssl') . '\')' ],
	[ 'elsewhere', 'elsewhere', {@ssl}, undef, '08001', qr/certificate.*CN=elsewhere.*another host/s, 0,
		"ALTER SERVER % OPTIONS (ADD ssl_endpoint_identification_algorithm 'none')" ],
	[ 'no_certificate', 'mtls', {@ssl}, undef, '28000', $refused, 0,
		'CREATE USER MAPPING FOR CURRENT_USER SERVER % OPTIONS (' . options(%client) . ')' ],
	[ 'stranger', 'mtls', {@ssl},
		{ ssl_certificate_pem => $broker->pem('stranger.pem'), ssl_key_pem => $broker->pem('stranger.key') },
		'28000', $refused, 0,
		'ALTER USER MAPPING FOR CURRENT_USER SERVER % OPTIONS ('
		  . join(', ', map { "SET $_" } split /, (?=ssl)/, options(%client)) . ')' ],
	[ 'plaintext_to_tls', 'ssl', {}, undef, '0800[16]', qr/DETAIL:.*security\.protocol/, 1,
		'ALTER SERVER % OPTIONS (ADD ' . options(security_protocol => 'ssl') . ', ADD ' . options(@ca) . ')' ],
	[ 'plaintext_to_sasl', 'sasl_plaintext', {}, undef, '0800[16]', qr/DETAIL:.*security\.protocol/, 1,
		"ALTER SERVER % OPTIONS (SET bootstrap_servers '" . $broker->bootstrap . "')" ],
	[ 'tls_to_plaintext', 'plaintext', {@ssl}, undef, '0800[16]', qr/DETAIL:.*(without TLS|PLAINTEXT broker listener)/, 1,
		'ALTER SERVER % OPTIONS (DROP security_protocol)' ],
	[ 'tls_to_sasl', 'sasl_ssl', {@ssl}, undef, '0800[16]', qr/DETAIL:.*security\.protocol/, 1,
		"ALTER SERVER % OPTIONS (SET bootstrap_servers '" . $broker->bootstrap('ssl') . "')" ],
	[ 'sasl_to_plaintext', 'plaintext', { security_protocol => 'sasl_plaintext', sasl_mechanism => 'PLAIN' },
		$password{alice}, '28000', qr/security_protocol/, 0,
		'ALTER SERVER % OPTIONS (DROP security_protocol)' ],
	[ 'no_oauth', 'sasl_plaintext', { security_protocol => 'sasl_plaintext', sasl_mechanism => 'OAUTHBEARER' },
		undef, 'HV002', qr/enable_sasl_oauthbearer_unsecure_jwt/, 0,
		"ALTER SERVER % OPTIONS (ADD enable_sasl_oauthbearer_unsecure_jwt 'true',
			ADD sasl_oauthbearer_config 'principal=olga')" ],
	[ 'bad_oauth', 'sasl_plaintext', { security_protocol => 'sasl_plaintext', %$jwt,
			sasl_oauthbearer_config => 'scope=x' },
		undef, '28000', qr/no principal/, 0,
		"ALTER SERVER % OPTIONS (SET sasl_oauthbearer_config 'principal=olga')" ],
	[ 'wrong_key_password', 'mtls', {@ssl},
		{ %client, ssl_key_pem => $broker->pem('client-encrypted.key'), ssl_key_password => 'wrong-secret' },
		'HV00L', qr/ssl\.key\.pem failed.*password/s, 0,
		"ALTER USER MAPPING FOR CURRENT_USER SERVER % OPTIONS (SET ssl_key_password 'key-secret')" ]);

foreach my $mechanism ([ PLAIN => 'alice' ], [ 'SCRAM-SHA-256' => 'bob' ], [ 'SCRAM-SHA-512' => 'carol' ])
{
	my ($word, $user) = @$mechanism;
	my $name = lc $word =~ s/-/_/gr;

	foreach my $protocol ('sasl_ssl', 'sasl_plaintext')
	{
		my $options = { security_protocol => $protocol, @ca, sasl_mechanism => $word };

		push @closed,
		  [ "${name}_password_$protocol", $protocol, $options,
			{ sasl_username => $user, sasl_password => 'wrong' }, '28000', qr/[Aa]uthentication failed/, 0,
			"ALTER USER MAPPING FOR CURRENT_USER SERVER % OPTIONS (SET sasl_password '$user-secret')" ];
		push @closed,
		  [ "${name}_user_$protocol", $protocol, $options,
			{ sasl_username => 'nobody', sasl_password => "$user-secret" }, '28000',
			qr/[Aa]uthentication failed/, 0,
			"ALTER USER MAPPING FOR CURRENT_USER SERVER % OPTIONS (SET sasl_username '$user')" ];
	}
	push @closed,
	  [ "${name}_nobody", 'sasl_plaintext',
		{ security_protocol => 'sasl_plaintext', sasl_mechanism => $word }, undef,
		'28000', qr/sasl_username and sasl_password.*CREATE USER MAPPING/s, 0,
		'CREATE USER MAPPING FOR CURRENT_USER SERVER % OPTIONS (' . options(%{ $password{$user} }) . ')' ];
}

foreach my $case (@closed)
{
	my ($name, $listener, $options, $mapping, $state, $text, $whole, $mend) = @$case;

	# Where it is said at once, there is no need for a timeout; with one, a test would not see that.
	create($name, $listener, { %$options, metadata_timeout => $whole ? "${timeout}s" : '10min' }, $mapping);
	fails($name, $state, $text, $timeout, $whole, $name);
	$node->safe_psql('postgres', $mend =~ s/%/$name/gr);
	$node->safe_psql('postgres', "ALTER SERVER $name OPTIONS (SET metadata_timeout '10min')");
	works($name, "$name, mended");
}

#----------------------------------------------------------------------
# ACLs
#----------------------------------------------------------------------

# From here on alice has no right to anything but what is given to her below.
$broker->forbid('User:alice', 'READ,WRITE', 'TOPIC', $topic);

my $guarded = KafkaFdw::Test->topic('guarded');
my $free = KafkaFdw::Test->topic('free');

create('acl', 'sasl_plaintext', { security_protocol => 'sasl_plaintext', sasl_mechanism => 'PLAIN' },
	$password{alice});
$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$guarded', 1, server => 'kafka');
	SELECT kafka_create_topic('$free', 1, server => 'kafka');
	SELECT kafka_send('$guarded', 'first', server => 'kafka');
	CREATE FOREIGN TABLE guarded ("offset" bigint, value text) SERVER acl OPTIONS (topic '$guarded')});

# A statement is refused, again and again, and succeeds once there is the ACL.
sub guards
{
	my ($sql, $text, $operation, $resource, $name) = @_;

	foreach my $attempt ('first', 'second')
	{
		my $start = time;
		my ($state, $error) = $session->failure($sql);

		is($state, '42501', "no $operation: SQLSTATE of $sql, $attempt attempt");
		like($error, $text, "no $operation: cause in $sql, $attempt attempt");
		like($error, qr/^HINT:  The cluster's ACLs/m, "no $operation: hint in $sql, $attempt attempt");
		cmp_ok(time - $start, '<', $slack, "no $operation: end of $sql, $attempt attempt");
	}
	$broker->allow('User:alice', $operation, $resource, $name);
	$session->query($sql);
	is($session->stderr, '', "$operation: $sql");
	return;
}

my $read = 'SELECT count(*) FROM guarded';
my $send = "SELECT kafka_send('$guarded', 'x', server => 'acl')";
my $insert = "INSERT INTO guarded (value) VALUES ('x'), ('y')";

foreach my $sql ($read, $send, $insert, "SELECT * FROM kafka_last('$guarded', server => 'acl')")
{
	my ($state, $error) = $session->failure($sql);

	is($state, '42501', "no DESCRIBE: SQLSTATE of $sql");
	like($error, qr/topic "\Q$guarded\E".*authorization failed/s, "no DESCRIBE: cause in $sql");
}
$broker->allow('User:alice', 'DESCRIBE', 'TOPIC', $guarded);

# Who may look, and no more.
guards($read, qr/could not read topic "\Q$guarded\E" partition 0.*authorization failed/s,
	'READ', 'TOPIC', $guarded);
guards($send, qr/could not send to topic "\Q$guarded\E": the message is not stored.*authorization failed/s,
	'WRITE', 'TOPIC', $guarded);
$broker->forbid('User:alice', 'WRITE', 'TOPIC', $guarded);

# Who may send elsewhere has an identity as a producer; what is refused then is the message.
$broker->allow('User:alice', 'WRITE', 'TOPIC', $free);
guards($insert, qr/could not send to topic "\Q$guarded\E": the message is not stored.*opic authorization failed/s,
	'WRITE', 'TOPIC', $guarded);
is($session->query("SELECT count(*) FROM guarded"), '4', 'what was refused is not there');

# What changes the cluster.
my $new = KafkaFdw::Test->topic('new');

# (It looks whether the topic is there.)
$broker->allow('User:alice', 'DESCRIBE', 'TOPIC', $new);
guards("SELECT kafka_create_topic('$new', 1, server => 'acl')",
	qr/topic "\Q$new\E".*authorization failed/si, 'CREATE', 'CLUSTER', 'kafka-cluster');
guards("SELECT * FROM kafka_topic_config('$new', 'acl')",
	qr/topic "\Q$new\E".*authorization failed/si, 'DESCRIBE_CONFIGS', 'TOPIC', $new);
guards("SELECT kafka_set_topic_config('$new', '{\"retention.ms\": 1000000}', 'acl')",
	qr/topic "\Q$new\E".*authorization failed/si, 'ALTER_CONFIGS', 'TOPIC', $new);
guards("SELECT kafka_add_partitions('$new', 2, 'acl')",
	qr/topic "\Q$new\E".*authorization failed/s, 'ALTER', 'TOPIC', $new);
guards("SELECT kafka_delete_records('$guarded', 0, 1, 'acl')",
	qr/topic "\Q$guarded\E".*authorization failed/s, 'DELETE', 'TOPIC', $guarded);
guards("SELECT kafka_delete_topic('$new', 'acl')",
	qr/topic "\Q$new\E".*authorization failed/s, 'DELETE', 'TOPIC', $new);

# Who may make a topic, but not see it, does not wait for it to show.
my $unseen = KafkaFdw::Test->topic('unseen');

$node->safe_psql('postgres', "ALTER SERVER acl OPTIONS (ADD metadata_timeout '10min')");
$session->query("SELECT kafka_create_topic('$unseen', 1, server => 'acl')");
is($session->stderr, '', 'a topic that its maker may not see');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM kafka_topics('kafka') t WHERE topic = '$unseen'"),
	'which comes to be there');

# An ACL that is taken back under an open cursor, and under a producer that is kept.
my $long = KafkaFdw::Test->topic('long');

$node->safe_psql('postgres', qq{
	SELECT kafka_create_topic('$long', 1, server => 'kafka');
	CREATE FOREIGN TABLE long_in (value text) SERVER kafka OPTIONS (topic '$long');
	CREATE FOREIGN TABLE long (value text) SERVER acl OPTIONS (topic '$long');
	INSERT INTO long_in SELECT repeat('x', 2000) FROM generate_series(1, 20000)});
$broker->allow('User:alice', 'READ,WRITE', 'TOPIC', $long);
$session->query("SELECT kafka_send('$long', 'x', server => 'acl')");
is($session->stderr, '', 'a producer that is kept');
$session->query('BEGIN; DECLARE c CURSOR FOR SELECT * FROM long; MOVE 10 FROM c');
is($session->stderr, '', 'a cursor is open');
$broker->forbid('User:alice', 'READ,WRITE', 'TOPIC', $long);

my ($state, $error) = $session->failure('MOVE ALL FROM c');

is($state, '42501', 'READ taken back under a scan: SQLSTATE');
like($error, qr/topic "\Q$long\E".*authorization failed/s,
	'READ taken back under a scan: cause');
$session->query('ROLLBACK');
($state, $error) = $session->failure("SELECT kafka_send('$long', 'x', server => 'acl')");
is($state, '42501', 'WRITE taken back from a producer: SQLSTATE');
like($error, qr/could not send to topic "\Q$long\E": the message is not stored.*authorization failed/s,
	'WRITE taken back from a producer: cause');
$broker->allow('User:alice', 'READ,WRITE', 'TOPIC', $long);
is($session->query('SELECT count(*) FROM long'), '20001', 'once it is given again, the topic is read');
like($session->query("SELECT kafka_send('$long', 'x', server => 'acl')"), qr/^\d+$/, 'and sent to');

$session->quit;
unlike(slurp_file($node->logfile), qr/terminated by signal|exited with exit code [^01]/,
	'no backend crashed');

done_testing();
