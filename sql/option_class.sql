-- Which property may be set where and by whom: every one of librdkafka's 174 names, in both
-- spellings, on every kind of object, by four kinds of role.
SET client_min_messages = warning;
CREATE TEMP TABLE property (name text, class text, topic boolean, value text);
-- the class (C divided by what it asks for), whether it is a table option too, a valid value
INSERT INTO property VALUES
    ('acks', 'D', false, '1'),
    ('allow.auto.create.topics', 'A', false, 'true'),
    ('api.version.fallback.ms', 'D', false, '1'),
    ('api.version.request', 'D', false, '1'),
    ('api.version.request.timeout.ms', 'A', false, '1'),
    ('auto.commit.enable', 'D', false, '1'),
    ('auto.commit.interval.ms', 'D', false, '1'),
    ('auto.offset.reset', 'D', false, '1'),
    ('background_event_cb', 'D', false, '1'),
    ('batch.num.messages', 'A', false, '1'),
    ('batch.size', 'A', false, '1'),
    ('bootstrap.servers', 'A', false, 'localhost:9092'),
    ('broker.address.family', 'A', false, 'v4'),
    ('broker.address.ttl', 'A', false, '1'),
    ('broker.version.fallback', 'D', false, '1'),
    ('builtin.features', 'D', false, '1'),
    ('check.crcs', 'D', false, '1'),
    ('client.id', 'A', false, 'me'),
    ('client.rack', 'A', false, 'r1'),
    ('client.software.name', 'D', false, '1'),
    ('client.software.version', 'D', false, '1'),
    ('closesocket_cb', 'D', false, '1'),
    ('compression.codec', 'A', true, 'gzip'),
    ('compression.level', 'A', true, '1'),
    ('compression.type', 'A', true, 'lz4'),
    ('connect_cb', 'D', false, '1'),
    ('connections.max.idle.ms', 'A', false, '1'),
    ('consume.callback.max.messages', 'D', false, '1'),
    ('consume_cb', 'D', false, '1'),
    ('coordinator.query.interval.ms', 'D', false, '1'),
    ('debug', 'C super', false, 'broker,topic'),
    ('default_topic_conf', 'D', false, '1'),
    ('delivery.report.only.error', 'D', false, '1'),
    ('delivery.timeout.ms', 'A', true, '10s'),
    ('dr_cb', 'D', false, '1'),
    ('dr_msg_cb', 'D', false, '1'),
    ('enable.auto.commit', 'D', false, '1'),
    ('enable.auto.offset.store', 'D', false, '1'),
    ('enable.gapless.guarantee', 'D', false, '1'),
    ('enable.idempotence', 'D', false, '1'),
    ('enable.partition.eof', 'D', false, '1'),
    ('enable.random.seed', 'D', false, '1'),
    ('enable.sasl.oauthbearer.unsecure.jwt', 'C super', false, 'true'),
    ('enable.sparse.connections', 'D', false, '1'),
    ('enable.ssl.certificate.verification', 'A', false, 'true'),
    ('enable_sasl_queue', 'D', false, '1'),
    ('enabled_events', 'D', false, '1'),
    ('error_cb', 'D', false, '1'),
    ('fetch.error.backoff.ms', 'A', false, '1'),
    ('fetch.max.bytes', 'A', false, '64MB'),
    ('fetch.message.max.bytes', 'A', false, '1'),
    ('fetch.min.bytes', 'A', false, '1'),
    ('fetch.wait.max.ms', 'A', false, '1'),
    ('group.id', 'D', false, '1'),
    ('group.instance.id', 'D', false, '1'),
    ('group.protocol.type', 'D', false, '1'),
    ('heartbeat.interval.ms', 'D', false, '1'),
    ('interceptors', 'D', false, '1'),
    ('internal.termination.signal', 'D', false, '1'),
    ('isolation.level', 'A', true, 'read_uncommitted'),
    ('linger.ms', 'A', false, '1.5ms'),
    ('log.connection.close', 'D', false, '1'),
    ('log.queue', 'D', false, '1'),
    ('log.thread.name', 'D', false, '1'),
    ('log_cb', 'D', false, '1'),
    ('log_level', 'D', false, '1'),
    ('max.in.flight', 'D', false, '1'),
    ('max.in.flight.requests.per.connection', 'D', false, '1'),
    ('max.partition.fetch.bytes', 'A', false, '1'),
    ('max.poll.interval.ms', 'D', false, '1'),
    ('message.copy.max.bytes', 'D', false, '1'),
    ('message.max.bytes', 'A', false, '2000000'),
    ('message.send.max.retries', 'A', false, '1'),
    ('message.timeout.ms', 'A', true, '10s'),
    ('metadata.broker.list', 'A', false, 'localhost:9092'),
    ('metadata.max.age.ms', 'A', false, '1h'),
    ('metadata.request.timeout.ms', 'D', false, '1'),
    ('msg_order_cmp', 'D', false, '1'),
    ('oauthbearer_token_refresh_cb', 'D', false, '1'),
    ('offset.store.method', 'D', false, '1'),
    ('offset.store.path', 'D', false, '1'),
    ('offset.store.sync.interval.ms', 'D', false, '1'),
    ('offset_commit_cb', 'D', false, '1'),
    ('opaque', 'D', false, '1'),
    ('open_cb', 'D', false, '1'),
    ('partition.assignment.strategy', 'D', false, '1'),
    ('partitioner', 'A', true, 'random'),
    ('partitioner_cb', 'D', false, '1'),
    ('plugin.library.paths', 'D', false, '1'),
    ('produce.offset.report', 'D', false, '1'),
    ('queue.buffering.backpressure.threshold', 'D', false, '1'),
    ('queue.buffering.max.kbytes', 'A', false, '1'),
    ('queue.buffering.max.messages', 'A', false, '1'),
    ('queue.buffering.max.ms', 'A', false, '0.5'),
    ('queued.max.messages.kbytes', 'A', false, '1'),
    ('queued.min.messages', 'A', false, '1'),
    ('queuing.strategy', 'D', false, '1'),
    ('rebalance_cb', 'D', false, '1'),
    ('receive.message.max.bytes', 'A', false, '100MB'),
    ('reconnect.backoff.jitter.ms', 'D', false, '1'),
    ('reconnect.backoff.max.ms', 'A', false, '2s'),
    ('reconnect.backoff.ms', 'A', false, '1'),
    ('request.required.acks', 'D', false, '1'),
    ('request.timeout.ms', 'A', true, '5s'),
    ('resolve_cb', 'D', false, '1'),
    ('retries', 'A', false, '1'),
    ('retry.backoff.ms', 'A', false, '1'),
    ('sasl.jaas.config', 'D', false, '1'),
    ('sasl.kerberos.keytab', 'D', false, '1'),
    ('sasl.kerberos.kinit.cmd', 'D', false, '1'),
    ('sasl.kerberos.min.time.before.relogin', 'D', false, '1'),
    ('sasl.kerberos.principal', 'D', false, '1'),
    ('sasl.kerberos.service.name', 'C super', false, '1'),
    ('sasl.mechanism', 'A', false, 'PLAIN'),
    ('sasl.mechanisms', 'A', false, 'SCRAM-SHA-512'),
    ('sasl.oauthbearer.client.id', 'B', false, '1'),
    ('sasl.oauthbearer.client.secret', 'B', false, '1'),
    ('sasl.oauthbearer.config', 'C super', false, '1'),
    ('sasl.oauthbearer.extensions', 'A', false, '1'),
    ('sasl.oauthbearer.method', 'C super', false, 'oidc'),
    ('sasl.oauthbearer.scope', 'A', false, '1'),
    ('sasl.oauthbearer.token.endpoint.url', 'C super', false, '1'),
    ('sasl.password', 'B', false, '1'),
    ('sasl.username', 'B', false, '1'),
    ('security.protocol', 'A', false, 'ssl'),
    ('session.timeout.ms', 'D', false, '1'),
    ('socket.blocking.max.ms', 'D', false, '1'),
    ('socket.connection.setup.timeout.ms', 'A', false, '5s'),
    ('socket.keepalive.enable', 'A', false, 'on'),
    ('socket.max.fails', 'A', false, '1'),
    ('socket.nagle.disable', 'A', false, 'off'),
    ('socket.receive.buffer.bytes', 'A', false, '1'),
    ('socket.send.buffer.bytes', 'A', false, '1'),
    ('socket.timeout.ms', 'A', false, '30s'),
    ('socket_cb', 'D', false, '1'),
    ('ssl.ca.certificate.stores', 'D', false, '1'),
    ('ssl.ca.location', 'C file', false, '1'),
    ('ssl.ca.pem', 'A', false, '1'),
    ('ssl.certificate.location', 'C file', false, '1'),
    ('ssl.certificate.pem', 'B', false, '1'),
    ('ssl.certificate.verify_cb', 'D', false, '1'),
    ('ssl.cipher.suites', 'A', false, '1'),
    ('ssl.crl.location', 'C file', false, '1'),
    ('ssl.curves.list', 'A', false, '1'),
    ('ssl.endpoint.identification.algorithm', 'A', false, 'https'),
    ('ssl.engine.id', 'D', false, '1'),
    ('ssl.engine.location', 'D', false, '1'),
    ('ssl.key.location', 'C file', false, '1'),
    ('ssl.key.password', 'B', false, '1'),
    ('ssl.key.pem', 'B', false, '1'),
    ('ssl.keystore.location', 'C file', false, '1'),
    ('ssl.keystore.password', 'B', false, '1'),
    ('ssl.providers', 'D', false, '1'),
    ('ssl.sigalgs.list', 'A', false, '1'),
    ('ssl.truststore.location', 'D', false, '1'),
    ('ssl_ca', 'D', false, '1'),
    ('ssl_certificate', 'D', false, '1'),
    ('ssl_engine_callback_data', 'D', false, '1'),
    ('ssl_key', 'D', false, '1'),
    ('statistics.interval.ms', 'D', false, '1'),
    ('stats_cb', 'D', false, '1'),
    ('sticky.partitioning.linger.ms', 'A', false, '1'),
    ('test.mock.broker.rtt', 'D', false, '1'),
    ('test.mock.num.brokers', 'D', false, '1'),
    ('throttle_cb', 'D', false, '1'),
    ('topic.blacklist', 'D', false, '1'),
    ('topic.metadata.propagation.max.ms', 'A', false, '1'),
    ('topic.metadata.refresh.fast.cnt', 'D', false, '1'),
    ('topic.metadata.refresh.fast.interval.ms', 'A', false, '1'),
    ('topic.metadata.refresh.interval.ms', 'A', false, '1'),
    ('topic.metadata.refresh.sparse', 'D', false, '1'),
    ('transaction.timeout.ms', 'D', false, '1'),
    ('transactional.id', 'D', false, '1'),
    ('ut_handle_ProduceResponse', 'D', false, '1');
SELECT class, count(*), count(*) FILTER (WHERE topic) AS topic FROM property GROUP BY 1 ORDER BY 1;

CREATE ROLE regress_kafka_owner;
CREATE ROLE regress_kafka_reader IN ROLE pg_read_server_files;
CREATE ROLE regress_kafka_super SUPERUSER;
CREATE SCHEMA option_class;
GRANT ALL ON SCHEMA option_class TO PUBLIC;
GRANT USAGE ON FOREIGN DATA WRAPPER kafka_fdw TO PUBLIC;

-- Give an object of a role the option, and take everything back. PostgreSQL's list of what could
-- happen: accepted, refused by name, refused by right; any other error as it is.
CREATE FUNCTION option_class.attempt(role name, object text, option text, value text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    brokers text := CASE WHEN option IN ('bootstrap.servers', 'bootstrap_servers',
                                         'metadata.broker.list', 'metadata_broker_list')
                         THEN '' ELSE E'brokers \'localhost\', ' END;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    IF object = 'server' THEN
        EXECUTE format('CREATE SERVER opt FOREIGN DATA WRAPPER kafka_fdw OPTIONS (%s%I %L)',
                       brokers, option, value);
    ELSE
        CREATE SERVER opt FOREIGN DATA WRAPPER kafka_fdw OPTIONS (brokers 'localhost');
        IF object = 'mapping' THEN
            EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER opt OPTIONS (%I %L)',
                           option, value);
        ELSIF object = 'table' THEN
            EXECUTE format('CREATE FOREIGN TABLE option_class.t (value text) SERVER opt '
                           'OPTIONS (%I %L)', option, value);
        ELSE
            EXECUTE format('CREATE FOREIGN TABLE option_class.t (value text OPTIONS (%I %L)) '
                           'SERVER opt', option, value);
        END IF;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'OK000', MESSAGE = 'undo';
EXCEPTION
    WHEN SQLSTATE 'OK000' THEN RETURN 'accepted';
    WHEN feature_not_supported THEN RETURN 'accepted';  -- but librdkafka was built without it
    WHEN fdw_invalid_option_name THEN RETURN 'no option';
    WHEN insufficient_privilege THEN RETURN 'no right';
    WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

CREATE TEMP TABLE outcome AS
SELECT p.*, role, object, option, option_class.attempt(role, object, option, p.value) AS got
FROM property p,
     unnest(ARRAY['regress_kafka_super', 'regress_kafka_reader', 'regress_kafka_owner']) role,
     unnest(ARRAY['server', 'mapping', 'table', 'column']) object,
     LATERAL (SELECT DISTINCT unnest(ARRAY[p.name, replace(p.name, '.', '_')]) AS option) spelling;

-- What was not as classed: nothing.
SELECT name, option, class, role, object, wanted, got
FROM outcome, LATERAL (SELECT CASE
    -- a table's batch_size is another option
    WHEN option = 'batch_size' THEN CASE object WHEN 'table' THEN 'accepted' ELSE 'no option' END
    WHEN object = 'server' AND class = 'A' THEN 'accepted'
    WHEN object = 'server' AND class = 'C file'
        THEN CASE role WHEN 'regress_kafka_owner' THEN 'no right' ELSE 'accepted' END
    WHEN object = 'server' AND class = 'C super'
        THEN CASE role WHEN 'regress_kafka_super' THEN 'accepted' ELSE 'no right' END
    WHEN object = 'mapping' AND class = 'B' THEN 'accepted'
    WHEN object = 'table' AND class = 'A' AND topic THEN 'accepted'
    ELSE 'no option' END AS wanted) expected
WHERE got <> wanted
ORDER BY name, option, role, object;

-- and how often there was something to refuse
SELECT class, object, got, count(*) FROM outcome GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- Values of some properties have a right of their own.
SELECT option, value, option_class.attempt('regress_kafka_owner', 'server', option, value) AS owner,
       option_class.attempt('regress_kafka_super', 'server', option, value) AS super
FROM (VALUES ('ssl_ca_location', 'probe'), ('ssl_ca_location', '/dev/null'),
             ('ssl_ca_location', '/does/not/exist'), ('ssl_ca_location', ' probe'),
             ('sasl_mechanism', 'plain'), ('sasl_mechanism', 'SCRAM-SHA-256'),
             ('sasl_mechanism', 'GSSAPI'), ('sasl_mechanism', 'gssapi'),
             ('sasl_mechanisms', 'OAUTHBEARER'), ('sasl.mechanisms', 'PLAIN,GSSAPI')) v(option, value);

-- Whoever may not set an option may not alter the object that has it: the key would be used for
-- another host.
CREATE SERVER guarded FOREIGN DATA WRAPPER kafka_fdw
    OPTIONS (brokers 'localhost', ssl_key_location '/root/key', security_protocol 'ssl');
ALTER SERVER guarded OWNER TO regress_kafka_super;
SET ROLE regress_kafka_super;
ALTER SERVER guarded OPTIONS (ADD debug 'all');
RESET ROLE;
ALTER ROLE regress_kafka_super NOSUPERUSER;
SET ROLE regress_kafka_super;
ALTER SERVER guarded OPTIONS (SET brokers 'elsewhere');
ALTER SERVER guarded OPTIONS (DROP debug);
ALTER SERVER guarded OPTIONS (DROP debug, DROP ssl_key_location, SET brokers 'elsewhere');
RESET ROLE;

DROP SERVER guarded;
DROP TABLE outcome, property;
DROP SCHEMA option_class CASCADE;
REVOKE USAGE ON FOREIGN DATA WRAPPER kafka_fdw FROM PUBLIC;
DROP ROLE regress_kafka_owner, regress_kafka_reader, regress_kafka_super;
