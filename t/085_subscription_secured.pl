# 085_subscription_secured.pl
#		A subscription to a cluster with passwords and ACLs: what becomes of it when a right or a password
#		changes, there or in the user mapping.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $broker = KafkaFdw::Test->new_secure_broker('secured');
my $node = KafkaFdw::Test->new_node('secured', $broker,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16");
my $topic = KafkaFdw::Test->topic('in');
my $sent = 0;

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub wait_for { return KafkaFdw::Test->becomes_true($node, @_[ 0, 1 ], 'kafka_subscriptions'); }

sub error { return sql('SELECT last_error FROM kafka_subscriptions'); }

# Send one more, by a way that nobody closes.
sub produce
{
	$sent++;
	return sql("SELECT kafka_send('$topic', '$sent', server => 'kafka')");
}

# All that was sent is there, once.
sub arrives
{
	my ($what) = @_;

	wait_for("SELECT string_agg(value, ' ' ORDER BY value::int) = '" . join(' ', 1 .. $sent)
		  . q{' AND (SELECT state = 'running' AND last_error IS NULL FROM kafka_subscriptions) FROM t}, $what);
	return;
}

$broker->allow('User:albert', 'READ,DESCRIBE', 'TOPIC', $topic);
$broker->allow('User:alice', 'READ,DESCRIBE', 'TOPIC', $topic);
KafkaFdw::Test->create_server($node, 'secured', $broker->bootstrap('sasl_plaintext'),
	q{security_protocol 'sasl_plaintext', sasl_mechanism 'PLAIN', metadata_timeout '2s'});
sql(qq{
	SELECT kafka_create_topic('$topic', 1, server => 'kafka');
	CREATE ROLE app;
	GRANT CREATE ON SCHEMA public TO app;
	GRANT USAGE ON FOREIGN SERVER secured TO app;
	CREATE USER MAPPING FOR app SERVER secured OPTIONS (sasl_username 'albert', sasl_password 'albert-secret');
	SET ROLE app;
	CREATE FOREIGN TABLE t_in (value text) SERVER secured OPTIONS (topic '$topic');
	CREATE TABLE t (value text);
	SELECT kafka_subscribe('s', 't_in', 't')});
produce();
arrives('it reads as the user of its owner\'s mapping');

# An ACL is taken away, and another user has it.
$broker->forbid('User:albert', 'READ', 'TOPIC', $topic);
produce();
wait_for(qq{SELECT state = 'retrying' AND last_error ~* '$topic.*authoriz' FROM kafka_subscriptions},
	'without the right to read it tries again, and says which topic it may not read');
sql(q{ALTER USER MAPPING FOR app SERVER secured OPTIONS (SET sasl_username 'alice', SET sasl_password 'alice-secret')});
produce();
arrives('with a changed mapping it reads as another user');

# A password is changed while it is idle: nothing more is taken by a connection that has the old one.
sql(q{ALTER USER MAPPING FOR app SERVER secured OPTIONS (SET sasl_password 'wrong')});
produce();
wait_for(q{SELECT state = 'retrying' AND last_error ~* 'authentication|credentials' FROM kafka_subscriptions},
	'a changed password is in force at once, with the reason');
unlike(error(), qr/wrong|alice-secret/, 'which has no password in it');
is(sql('SELECT count(*) FROM t'), $sent - 1, 'no batch was stored with the old one');
sql(q{ALTER USER MAPPING FOR app SERVER secured OPTIONS (SET sasl_password 'alice-secret')});
arrives('put right, it goes on');

# No mapping at all
sql(q{DROP USER MAPPING FOR app SERVER secured});
produce();
wait_for(q{SELECT state <> 'running' FROM kafka_subscriptions}, 'without a mapping it cannot');
is(sql('SELECT count(*) FROM t'), $sent - 1, 'and does not');
sql(q{CREATE USER MAPPING FOR PUBLIC SERVER secured OPTIONS (sasl_username 'alice', sasl_password 'alice-secret')});
sql(q{SELECT kafka_resume('s')});
arrives('one for PUBLIC does');

# USAGE of the server is checked as with any scan: not at all, but SELECT is.
sql('REVOKE SELECT ON t_in FROM app');
produce();
wait_for(q{SELECT state = 'stopped' FROM kafka_subscriptions}, 'SELECT on the source is needed for each batch');
like(error(), qr/permission denied for foreign table t_in/, 'and it says so');
sql(q{GRANT SELECT ON t_in TO app; SELECT kafka_resume('s')});
arrives('granted again, it goes on');

# A consumer group that the user may not commit to keeps nothing back, and says why.
sql(qq{
	SELECT kafka_unsubscribe('s');
	TRUNCATE t;
	SET ROLE app;
	SELECT kafka_subscribe('s', 't_in', 't', "group" => '$topic.group')});
produce();
wait_for("SELECT count(*) = $sent FROM t", 'a group that it may not commit to keeps no message back');
wait_for(q{SELECT state = 'running' AND last_error LIKE 'could not commit offsets to consumer group%ACL%' FROM kafka_subscriptions},
	'but is complained of');
$broker->allow('User:alice', 'READ', 'GROUP', "$topic.group");
arrives('until it may');
is(sql(qq{SELECT current_offset FROM kafka_group_lag('$topic.group', server => 'kafka')}), $sent, 'then the group has all');

done_testing();
