/*
 * t/interop/debezium/Debezium.java
 *		Reads a topic as programs do that know Debezium's messages, by Debezium's own classes:
 *		DebeziumSerdes, with which applications read changes, and ExtractNewRecordState, with which a
 *		sink connector takes the new row out of them.
 *
 * java -cp 'lib/*' Debezium.java BOOTSTRAP TOPIC COUNT
 *
 * Prints a line of JSON for each message: the key, before and after as the serde reads them, and
 * "unwrapped", what the transformation makes of it. A sink has the schemas that Debezium declares;
 * here they are given to the payload beforehand, so that the converter checks the payload against
 * them: each member's type, and that none lacks which has to be there.
 */
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.debezium.data.Envelope;
import io.debezium.serde.DebeziumSerdes;
import io.debezium.transforms.ExtractNewRecordState;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;

public class Debezium
{
	static final ObjectMapper mapper = new ObjectMapper();

	/* The table of the test: id int, name text, price numeric, made timestamptz, data bytea. */
	static final Schema row = SchemaBuilder.struct().name("server.public.items.Value").optional()
		.field("id", Schema.INT32_SCHEMA)
		.field("name", Schema.OPTIONAL_STRING_SCHEMA)
		.field("price", Schema.OPTIONAL_STRING_SCHEMA)
		.field("made", SchemaBuilder.string().name("io.debezium.time.ZonedTimestamp").optional().build())
		.field("data", Schema.OPTIONAL_BYTES_SCHEMA)
		.build();

	/* As the PostgreSQL connector documents it. */
	static final Schema source = SchemaBuilder.struct().name("io.debezium.connector.postgresql.Source")
		.field("version", Schema.STRING_SCHEMA)
		.field("connector", Schema.STRING_SCHEMA)
		.field("name", Schema.STRING_SCHEMA)
		.field("ts_ms", Schema.INT64_SCHEMA)
		.field("ts_us", Schema.INT64_SCHEMA)
		.field("ts_ns", Schema.INT64_SCHEMA)
		.field("snapshot", Schema.OPTIONAL_STRING_SCHEMA)
		.field("db", Schema.STRING_SCHEMA)
		.field("sequence", Schema.OPTIONAL_STRING_SCHEMA)
		.field("schema", Schema.STRING_SCHEMA)
		.field("table", Schema.STRING_SCHEMA)
		.field("txId", Schema.OPTIONAL_INT64_SCHEMA)
		.field("lsn", Schema.OPTIONAL_INT64_SCHEMA)
		.field("xmin", Schema.OPTIONAL_INT64_SCHEMA)
		.build();

	static final Envelope envelope = Envelope.defineSchema()
		.withName("server.public.items.Envelope").withRecord(row).withSource(source).build();

	/* The names that a payload has and its schema does not. */
	static void unknown(JsonNode node, Schema schema, String path, Set<String> found)
	{
		for (Iterator<String> names = node.fieldNames(); names.hasNext();)
		{
			String name = names.next();

			if (schema.field(name) == null)
				found.add(path + name);
			else if (schema.field(name).schema().type() == Schema.Type.STRUCT)
				unknown(node.get(name), schema.field(name).schema(), path + name + ".", found);
		}
	}

	/* A value as a sink connector gets it: with its schema. */
	static SchemaAndValue convert(JsonConverter converter, byte[] value, String topic) throws Exception
	{
		JsonNode payload = mapper.readTree(value);
		Set<String> unknown = new HashSet<>();
		ObjectNode both = mapper.createObjectNode();

		unknown(payload, envelope.schema(), "", unknown);
		if (!unknown.isEmpty())
			throw new Exception("members that Debezium does not have: " + unknown);
		both.set("schema", converter.asJsonSchema(envelope.schema()));
		both.set("payload", payload);
		return converter.toConnectData(topic, mapper.writeValueAsBytes(both));
	}

	@SuppressWarnings("rawtypes")
	static Deserializer<Map> serde(String from, boolean key)
	{
		var serde = DebeziumSerdes.payloadJson(Map.class);

		serde.configure(from == null ? Map.of() : Map.of("from.field", from), key);
		return serde.deserializer();
	}

	/* A key of one member is read as that member's value. */
	static Deserializer<Integer> keySerde()
	{
		var serde = DebeziumSerdes.payloadJson(Integer.class);

		serde.configure(Map.of(), true);
		return serde.deserializer();
	}

	public static void main(String[] args) throws Exception
	{
		String topic = args[1];
		int count = Integer.parseInt(args[2]);
		JsonConverter converter = new JsonConverter();
		JsonConverter plain = new JsonConverter();
		var unwrap = new ExtractNewRecordState<SinkRecord>();
		var key = keySerde();
		var before = serde("before", false);
		var after = serde("after", false);
		Map<String, Object> config = new HashMap<>();

		converter.configure(Map.of("schemas.enable", true), false);
		plain.configure(Map.of("schemas.enable", false), false);
		unwrap.configure(Map.of("delete.tombstone.handling.mode", "tombstone"));
		config.put("bootstrap.servers", args[0]);
		config.put("auto.offset.reset", "earliest");
		config.put("isolation.level", "read_committed");
		try (var consumer = new KafkaConsumer<byte[], byte[]>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer()))
		{
			var partition = new TopicPartition(topic, 0);
			int seen = 0;

			consumer.assign(List.of(partition));
			consumer.seekToBeginning(List.of(partition));
			while (seen < count)
			{
				for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1)))
				{
					ObjectNode line = mapper.createObjectNode();
					boolean tombstone = record.value() == null;
					SchemaAndValue value = tombstone ? new SchemaAndValue(null, null)
						: convert(converter, record.value(), topic);
					SinkRecord sink = unwrap.apply(new SinkRecord(topic, 0, Schema.BYTES_SCHEMA, record.key(),
																  value.schema(), value.value(), record.offset()));

					seen++;
					line.set("key", mapper.valueToTree(key.deserialize(topic, record.key())));
					line.set("op", mapper.valueToTree(tombstone ? null : ((Struct) value.value()).getString("op")));
					line.set("before", mapper.valueToTree(before.deserialize(topic, record.value())));
					line.set("after", mapper.valueToTree(after.deserialize(topic, record.value())));
					if (sink == null)
						line.put("unwrapped", "dropped");
					else if (sink.value() == null)
						line.put("unwrapped", "tombstone");
					else
						line.set("unwrapped", mapper.readTree(plain.fromConnectData(topic, sink.valueSchema(), sink.value())));
					System.out.println(mapper.writeValueAsString(line));
				}
			}
		}
	}
}
