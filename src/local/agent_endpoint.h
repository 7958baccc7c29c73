/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the API server asks of the agent, as it would ask a kubelet. Where: the annotation
 * mobula.io/agent-url of the Node, http://127.0.0.1:PORT (one agent may serve several Nodes). Every
 * request carries `Authorization: Bearer TOKEN`, else 401; the token is in STATE/agent.token (0600), made
 * by whichever of the two starts first (O_EXCL, then read).
 *
 *     GET /healthz                                "ok"
 *     GET /containerLogs/{ns}/{pod}/{container}   text, chunked while `follow=true`; the kubelet's
 *             follow timestamps previous tailLines sinceSeconds sinceTime limitBytes
 *     GET /exec/{ns}/{pod}/{container}            WebSocket, v5.channel.k8s.io;
 *             command (repeated), input output error tty (1 or true)
 *     GET /attach/{ns}/{pod}/{container}          the same without `command`: the container's own
 *             streams from now on
 *     GET /portForward/{ns}/{pod}?port=N          WebSocket, v1.bytes.mobula.io: one TCP connection
 *             to 127.0.0.1:N in the pod's network namespace
 *
 * v5.channel.k8s.io: each binary message is a channel byte and data: 0 stdin, 1 stdout, 2 stderr, 3 error
 * (one Status in JSON at the end: Success, or Failure with reason NonZeroExitCode and details.causes[0]
 * = {reason: ExitCode, message: "N"}), 4 resize ({"Width":w,"Height":h}), 255 and a channel byte: that
 * channel is closed (half-close of stdin).
 *
 * v1.bytes.mobula.io: binary messages are bytes of the connection; an empty one says that this direction
 * is at its end; a WebSocket close ends both. A refused connection is a close with code 1011 and the
 * reason as text.
 *
 * A failure before the upgrade is an HTTP status with the kubelet's sentence as text/plain (404 `pod "x"
 * not found`, 400 `container x is not valid for pod y`, 500 otherwise); the API server puts it into a
 * Status.
 */

#include "local/agent.h"

typedef struct AgentEndpoint AgentEndpoint;

/* Reads the token, or makes one (0600) if there is none. */
_must_check_ int agent_endpoint_new(Agent *agent, Loop *loop, const char *token_file, uint16_t port,
                                    AgentEndpoint **ret_endpoint);
AgentEndpoint *agent_endpoint_free(AgentEndpoint *endpoint);
DEFINE_CLEANUP(AgentEndpoint *, agent_endpoint_free);
/* "http://127.0.0.1:PORT"; borrowed for life. */
const char *agent_endpoint_url(const AgentEndpoint *endpoint);
