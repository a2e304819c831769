/* SPDX-License-Identifier: Apache-2.0 */
/* Connections between clients and coordinators, as ZeroMQ over TCP gives them: in order and whole while
 * a connection lasts, lost with it. In lossy times, as if somebody sat in between: single messages are
 * dropped, doubled, and overtake each other. All messages go through the real encoder and decoder. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "wire/wire.h"
#include "world.h"

#define NETWORK_RECONNECT_NS (50 * SIM_MS)
#define NETWORK_LOSS_NS (2 * SIM_MS)
/* Unanswered keepalives end a connection; scaled to the deadlines of a simulation. */
#define NETWORK_GIVE_UP_NS (1500 * SIM_MS)

void sim_network_add(sim_world *world, sim_client *client)
{
    client->world = world;
    client->alive = true;
    client->coordinator = -1;
    client->connect_ns = world->now_ns;
    client->next = world->network.clients;
    world->network.clients = client;
}

static void packets_free(sim_packet **first)
{
    while (*first) {
        sim_packet *packet = *first;
        *first = packet->next;
        free(packet->bytes);
        free(packet);
    }
}

static void network_lose(sim_world *world, const sim_client *client)
{
    sim_network *network = &world->network;
    if (network->loss_count == (int)(sizeof network->losses / sizeof network->losses[0])) {
        return; /* silence will tell */
    }
    network->losses[network->loss_count++] = (sim_loss){
        .connection = client->connection,
        .host = client->host,
        .coordinator = client->coordinator,
        .coordinator_start = client->coordinator_start,
        .at_ns = world->now_ns + NETWORK_LOSS_NS,
        .give_up_ns = world->now_ns + NETWORK_GIVE_UP_NS,
    };
}

static void network_disconnect(sim_client *client)
{
    packets_free(&client->in);
    packets_free(&client->out);
    client->connection = 0;
    client->connect_ns = client->world->now_ns + NETWORK_RECONNECT_NS;
}

void sim_network_close(sim_world *world, sim_client *client)
{
    client->alive = false;
    packets_free(&client->in);
    if (client->connection == 0) {
        packets_free(&client->out);
        return;
    }
    /* What was said before the end comes before the end. */
    network_lose(world, client);
    if (client->out && world->network.loss_count > 0) {
        sim_loss *loss = &world->network.losses[world->network.loss_count - 1];
        const sim_packet *last = client->out;
        while (last->next) {
            last = last->next;
        }
        if (loss->connection == client->connection && loss->at_ns <= last->deliver_ns) {
            loss->at_ns = last->deliver_ns + 1;
        }
    }
}

void sim_network_reset(sim_world *world, sim_client *client)
{
    if (client->connection != 0) {
        sim_log(world, "the connection of %s is reset", client->name);
        network_lose(world, client);
        network_disconnect(client);
    }
}

void sim_network_coordinator_died(sim_world *world, int coordinator)
{
    for (sim_client *client = world->network.clients; client; client = client->next) {
        if (client->connection != 0 && client->coordinator == coordinator) {
            network_disconnect(client);
        }
    }
}

void sim_network_clean_up(sim_world *world)
{
    for (sim_client *client = world->network.clients; client; client = client->next) {
        packets_free(&client->in);
        packets_free(&client->out);
    }
}

/* Where in a list ordered by delivery. */
static void packet_insert(sim_packet **first, sim_packet *packet)
{
    while (*first && (*first)->deliver_ns <= packet->deliver_ns) {
        first = &(*first)->next;
    }
    packet->next = *first;
    *first = packet;
}

static void network_put(sim_world *world, sim_packet **first, int64_t *last_ns, const void *bytes,
                        size_t byte_count)
{
    sim_network *network = &world->network;
    bool lossy = world->now_ns < network->lossy_until_ns;
    int copies = 1;
    if (lossy && sim_chance_percent(&world->chance, network->drop_percent)) {
        copies = 0;
    } else if (lossy && sim_chance_percent(&world->chance, network->double_percent)) {
        copies = 2;
    }
    for (int i = 0; i < copies; i++) {
        sim_packet *packet = calloc(1, sizeof *packet);
        MUSTER_ASSERT(packet);
        packet->bytes = malloc(byte_count);
        MUSTER_ASSERT(packet->bytes);
        memcpy(packet->bytes, bytes, byte_count);
        packet->byte_count = byte_count;
        int64_t delay_ns = lossy ? network->lossy_delay_ns : network->delay_ns;
        packet->deliver_ns = world->now_ns + sim_chance_between(&world->chance, 10000, delay_ns);
        if (!lossy && packet->deliver_ns <= *last_ns) {
            packet->deliver_ns = *last_ns + 1;
        }
        if (packet->deliver_ns > *last_ns) {
            *last_ns = packet->deliver_ns;
        }
        packet_insert(first, packet);
    }
}

static void network_encode(const muster_message *message, void **bytes, size_t *byte_count)
{
    muster_status status = muster_wire_encode(message, bytes, byte_count);
    MUSTER_ASSERT(status == MUSTER_OK);
}

muster_status sim_network_send(sim_client *client, const muster_message *message)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    if (client->connection == 0) {
        return MUSTER_ERR_TIMEOUT;
    }
    network_encode(message, &bytes, &byte_count);
    network_put(client->world, &client->out, &client->out_last_ns, bytes, byte_count);
    free(bytes);
    return MUSTER_OK;
}

sim_client *sim_network_find(sim_world *world, int coordinator, uint64_t connection)
{
    for (sim_client *client = world->network.clients; client; client = client->next) {
        if (client->alive && client->connection == connection && connection != 0 &&
            client->coordinator == coordinator) {
            return client;
        }
    }
    return NULL;
}

void sim_network_send_back(sim_world *world, int coordinator, uint64_t connection,
                           const muster_message *message)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    sim_client *client = sim_network_find(world, coordinator, connection);
    if (!client) {
        return;
    }
    network_encode(message, &bytes, &byte_count);
    network_put(world, &client->in, &client->in_last_ns, bytes, byte_count);
    free(bytes);
}

static bool packet_decode(sim_world *world, sim_packet **first, muster_message *message)
{
    sim_packet *packet = *first;
    MUSTER_ASSERT(packet);
    muster_error error;
    muster_error_init(&error);
    *first = packet->next;
    muster_status status = muster_wire_decode(packet->bytes, packet->byte_count, message, &error);
    free(packet->bytes);
    free(packet);
    if (status != MUSTER_OK) {
        sim_fail(world, "a message cannot be read: %s", error.message);
    }
    return status == MUSTER_OK;
}

/* When the first packet gets through a cut that ends at cut_ns. */
static int64_t packet_due(const sim_packet *packet, int64_t cut_ns)
{
    if (!packet) {
        return SIM_NEVER;
    }
    return packet->deliver_ns > cut_ns ? packet->deliver_ns : cut_ns;
}

bool sim_network_receive(sim_client *client, muster_message *message)
{
    const sim_network *network = &client->world->network;
    if (!client->in ||
        packet_due(client->in, network->cut_from_ns[client->host]) > client->world->now_ns) {
        return false;
    }
    return packet_decode(client->world, &client->in, message);
}

int sim_network_connections(sim_client *client)
{
    int made = client->connections;
    client->connections = 0;
    return made;
}

int64_t sim_network_client_due(const sim_client *client)
{
    const sim_network *network = &client->world->network;
    if (client->connection == 0) {
        return client->connect_ns;
    }
    return packet_due(client->in, network->cut_from_ns[client->host]);
}

void sim_network_client_turn(sim_client *client)
{
    sim_world *world = client->world;
    const sim_network *network = &world->network;
    if (client->connection != 0 || client->connect_ns > world->now_ns) {
        return;
    }
    const sim_coordinator *coordinator = &world->coordinators[network->service];
    if (!coordinator->up || network->cut_to_ns[client->host] > world->now_ns ||
        network->cut_from_ns[client->host] > world->now_ns) {
        client->connect_ns =
            world->now_ns +
            sim_chance_between(&world->chance, NETWORK_RECONNECT_NS, 4 * NETWORK_RECONNECT_NS);
        return;
    }
    client->connection = ++world->network.last_connection;
    client->coordinator = network->service;
    client->coordinator_start = coordinator->start;
    client->out_last_ns = world->now_ns;
    client->in_last_ns = world->now_ns;
    client->connections++;
}

int64_t sim_network_coordinator_due(sim_world *world, int coordinator)
{
    const sim_network *network = &world->network;
    int64_t due_ns = SIM_NEVER;
    for (const sim_client *client = network->clients; client; client = client->next) {
        if (client->connection == 0 || client->coordinator != coordinator) {
            continue;
        }
        int64_t packet_ns = packet_due(client->out, network->cut_to_ns[client->host]);
        due_ns = packet_ns < due_ns ? packet_ns : due_ns;
    }
    for (int i = 0; i < network->loss_count; i++) {
        if (network->losses[i].coordinator == coordinator && network->losses[i].at_ns < due_ns) {
            due_ns = network->losses[i].at_ns;
        }
    }
    return due_ns;
}

sim_client *sim_network_take(sim_world *world, int coordinator, muster_message *message)
{
    sim_network *network = &world->network;
    sim_client *first = NULL;
    int64_t first_ns = SIM_NEVER;
    for (sim_client *client = network->clients; client; client = client->next) {
        if (client->connection == 0 || client->coordinator != coordinator) {
            continue;
        }
        int64_t packet_ns = packet_due(client->out, network->cut_to_ns[client->host]);
        if (packet_ns < first_ns) {
            first = client;
            first_ns = packet_ns;
        }
    }
    if (!first || first_ns > world->now_ns || !packet_decode(world, &first->out, message)) {
        return NULL;
    }
    return first;
}

uint64_t sim_network_take_loss(sim_world *world, int coordinator)
{
    sim_network *network = &world->network;
    for (int i = 0; i < network->loss_count;) {
        sim_loss *loss = &network->losses[i];
        bool stale = loss->coordinator_start != world->coordinators[loss->coordinator].start;
        if (!stale && (loss->coordinator != coordinator || loss->at_ns > world->now_ns)) {
            i++;
            continue;
        }
        if (!stale && network->cut_to_ns[loss->host] > world->now_ns &&
            loss->give_up_ns > world->now_ns) {
            /* The end of the connection does not get through either. */
            loss->at_ns = loss->give_up_ns < network->cut_to_ns[loss->host]
                              ? loss->give_up_ns
                              : network->cut_to_ns[loss->host];
            i++;
            continue;
        }
        uint64_t connection = loss->connection;
        *loss = network->losses[--network->loss_count];
        if (!stale) {
            return connection;
        }
    }
    return 0;
}

/* ---- the launchers' link: the real launcher/control.c speaks through it ---- */

/* endpoint: the address of a sim_client, in words. */
muster_status muster_link_open(muster_link *link, const char *endpoint,
                               const muster_client_keys *keys, muster_error *error)
{
    (void)keys;
    memset(link, 0, sizeof *link);
    if (sscanf(endpoint, "sim:%p", &link->socket) != 1) {
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "no simulated endpoint: %s", endpoint);
    }
    return MUSTER_OK;
}

void muster_link_close(muster_link *link, int linger_ms)
{
    (void)linger_ms;
    link->socket = NULL;
}

muster_status muster_link_send(muster_link *link, const muster_message *message)
{
    return sim_network_send(link->socket, message);
}

muster_status muster_link_receive(muster_link *link, muster_message *message, muster_error *error)
{
    (void)error;
    return sim_network_receive(link->socket, message) ? MUSTER_OK : MUSTER_ERR_TIMEOUT;
}

int muster_link_connections(muster_link *link)
{
    return sim_network_connections(link->socket);
}
