# t/073_oidc.pl
#		OAUTHBEARER by client credentials: librdkafka fetches a token from a token endpoint, and the broker
#		verifies its signature.
#
# Debian's librdkafka 2.0.2 is built without it, which the option says (0A000); nothing else is tested
# then. KAFKA_FDW_LIBRDKAFKA names the folder of another librdkafka.so.1 to run the server with.
use strict;
use warnings;

use IO::Socket::INET;
use KafkaFdw::Test;
use MIME::Base64 qw(encode_base64 encode_base64url);
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir('oidc');

#----------------------------------------------------------------------
# The token endpoint
#----------------------------------------------------------------------

# A key, its public half as the broker wants it, and a token that it has signed for "service".
sub run_openssl
{
	my (@args) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'openssl', @args ], '<', \undef, '>', \$out, '2>', \$err) or die "openssl $args[0] failed: $err";
	return $out;
}

sub write_file
{
	my ($name, $content) = @_;

	open(my $file, '>', "$folder/$name") or die "could not write $name: $!";
	binmode $file;
	print $file $content;
	close $file;
	return "$folder/$name";
}

sub signed_token
{
	my ($key, %claims) = @_;
	my $claims = join ',', map { qq{"$_":} . ($claims{$_} =~ /^\d+$/ ? $claims{$_} : qq{"$claims{$_}"}) } sort keys %claims;
	my $text = join '.', map { encode_base64url($_) } '{"alg":"RS256","typ":"JWT","kid":"test"}', "{$claims}";

	return "$text." . encode_base64url(run_openssl('dgst', '-sha256', '-sign', $key, write_file('unsigned', $text)));
}

run_openssl('genrsa', '-out', "$folder/key.pem", '2048');
run_openssl('genrsa', '-out', "$folder/other.pem", '2048');
my ($modulus) = run_openssl('rsa', '-in', "$folder/key.pem", '-noout', '-modulus') =~ /=(\w+)/;
my $jwks = write_file('jwks.json', sprintf '{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"test","n":"%s","e":"AQAB"}]}',
	encode_base64url(pack 'H*', $modulus));
my %claims = (sub => 'service', aud => 'kafka', iss => 'test', iat => time, exp => time + 3600);
my $token = signed_token("$folder/key.pem", %claims);
my $forged = signed_token("$folder/other.pem", %claims);

# It gives the token to the client "service" with its secret, and one that somebody else has signed to the
# client "forger".
sub serve
{
	my ($listener) = @_;

	while (my $client = $listener->accept)
	{
		my ($authorization, $length) = ('', 0);

		while (defined(my $line = <$client>))
		{
			$authorization = $1 if $line =~ /^Authorization: Basic (\S+)/i;
			$length = $1 if $line =~ /^Content-Length: (\d+)/i;
			last if $line =~ /^\r?\n$/;
		}
		read $client, my $body, $length if $length;
		my $answer =
		    $authorization eq encode_base64('service:service-secret', '') ? $token
		  : $authorization eq encode_base64('forger:service-secret', '') ? $forged : undef;
		my ($status, $json) = defined $answer
		  ? ('200 OK', qq({"access_token":"$answer","token_type":"Bearer","expires_in":3600}))
		  : ('401 Unauthorized', '{"error":"invalid_client"}');

		printf $client "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		  $status, length $json, $json;
		close $client;
	}
	return;
}

my $listener = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1', Proto => 'tcp', ReuseAddr => 1)
  or die "could not listen: $!";
my $url = 'http://127.0.0.1:' . $listener->sockport . '/token';
my $server = fork // die "could not fork: $!";

if ($server == 0)
{
	serve($listener);
	POSIX::_exit(0);
}
close $listener;
END { my $status = $?; kill 'KILL', $server if $server; $? = $status; }

#----------------------------------------------------------------------
# PostgreSQL, and what its librdkafka can
#----------------------------------------------------------------------

$ENV{LD_LIBRARY_PATH} = $ENV{KAFKA_FDW_LIBRDKAFKA} if $ENV{KAFKA_FDW_LIBRDKAFKA};
my $node = KafkaFdw::Test->new_node('oidc', '127.0.0.1:1', conf => q{
	log_statement = 'none'
	log_min_error_statement = 'panic'
	log_min_messages = 'debug5'});
my $session = KafkaFdw::Test->session($node);
my @options = ("security_protocol 'sasl_plaintext'", "sasl_mechanism 'OAUTHBEARER'", "sasl_oauthbearer_method 'oidc'",
	"sasl_oauthbearer_token_endpoint_url '$url'", "metadata_timeout '20s'", "debug 'all'");
my ($state, $text) = $session->failure('CREATE SERVER oidc FOREIGN DATA WRAPPER kafka_fdw OPTIONS ('
	  . join(', ', "bootstrap_servers '127.0.0.1:1'", @options) . ')');

if ($state eq '0A000')
{
	like($text, qr/ERROR:  0A000: .*sasl_oauthbearer/, 'a librdkafka without it: the option says so');
	note($text);
	done_testing();
	exit;
}
is($state, 'none', 'librdkafka has it');

my $broker = KafkaFdw::Test->new_secure_broker('oidc', properties => <<"P");
listener.name.sasl_plaintext.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
sasl.oauthbearer.jwks.endpoint.url=file://$jwks
sasl.oauthbearer.expected.audience=kafka
P
my $topic = KafkaFdw::Test->topic('oidc');

$node->safe_psql('postgres', qq{
	ALTER SERVER kafka OPTIONS (SET bootstrap_servers '@{[ $broker->bootstrap ]}');
	ALTER SERVER oidc OPTIONS (SET bootstrap_servers '@{[ $broker->bootstrap('sasl_plaintext') ]}');
	CREATE USER MAPPING FOR CURRENT_USER SERVER oidc
		OPTIONS (sasl_oauthbearer_client_id 'service', sasl_oauthbearer_client_secret 'service-secret');
	CREATE FOREIGN TABLE t (value text) SERVER oidc OPTIONS (topic '$topic');
	SELECT kafka_create_topic('$topic', 1, server => 'kafka')});

my @statements = ('SELECT count(*) FROM t', "SELECT kafka_send('$topic', 'x', server => 'oidc')", "INSERT INTO t VALUES ('x'), ('y')");

sub all_are
{
	my ($wanted, $cause, $name) = @_;

	foreach my $sql (@statements)
	{
		my ($got, $said) = $session->failure($sql);

		like($got, qr/^$wanted$/, "$name: $sql");
		like($said, $cause, "$name: what is said") if $cause;
		note($said) if $said;
	}
	return;
}

sub set_client
{
	my ($id, $secret) = @_;

	$node->safe_psql('postgres', qq{ALTER USER MAPPING FOR CURRENT_USER SERVER oidc
		OPTIONS (SET sasl_oauthbearer_client_id '$id', SET sasl_oauthbearer_client_secret '$secret')});
	return;
}

all_are('42501', qr/authorization failed/, 'without an ACL');
$broker->allow('User:service', 'READ,WRITE', 'TOPIC', $topic);
all_are('none', undef, 'with a token');
is($session->query('SELECT count(*) FROM t'), '3', 'what was sent is there');

set_client('service', 'wrong-canary');
all_are('28000', qr/DETAIL:  .*token/is, 'a wrong secret');
unlike($session->stderr, qr/canary/, 'which is not told');
set_client('service', 'service-secret');
all_are('none', undef, 'the right one');
set_client('forger', 'service-secret');
all_are('28000', qr/DETAIL:  .*authentication/is, 'a token that somebody else has signed');
set_client('service', 'service-secret');
all_are('none', undef, 'the right one again');

# The endpoint away, for a session that has to ask it.
kill 'KILL', $server;
waitpid $server, 0;
$server = 0;
$session->query('SELECT kafka_disconnect()');
all_are('28000|08001', qr/DETAIL:  .*(token|connect)/is, 'no token endpoint');

my $log = slurp_file($node->logfile);

like($log, qr/librdkafka: .*sasl\.oauthbearer\.client\.secret = $/m, 'the log has what librdkafka said');
unlike($log, qr/canary|service-secret/, 'but no secret');
is(index($log, $token), -1, 'and no token');
unlike($log, qr/terminated by signal|exited with exit code [^01]/, 'no backend crashed');
$session->quit;
done_testing();
