/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_ATTACK_CASES_H
#define RETETHER_TESTS_SYSTEM_ATTACK_CASES_H

/* One function for each attack. It says what the attacker saw (attack_saw()), and asserts it. */

/* guest.c: proofs that are none, and what a guest may not say */
void attack_token_of_another(void);
void attack_old_ticket(void);
void attack_old_incarnation(void);
void attack_clone(void);
void attack_one_token_twice(void);
void attack_guest_says_moved(void);
void attack_channels_of_a_guest(void);
void attack_guest_acks_beyond(void);
void attack_items_of_a_guest(void);
void attack_stale_agent(void);

/* lies.c: every field of what a guest says */
void attack_lies_in_hello(void);
void attack_lies_in_report(void);
void attack_lies_in_answers(void);
void attack_lies_in_end(void);
void attack_lies_in_headers(void);

/* client.c: clients of the right tenant that ask too much */
void attack_ack_beyond(void);
void attack_channel_again(void);
void attack_attach_storm(void);
void attack_channels(void);
void attack_items_of_a_client(void);
void attack_bombs(void);
void attack_never_reads(void);

/* tenant.c: another tenant, a viewer, an operator */
void attack_another_tenant(void);
void attack_attachment_of_another(void);
void attack_operators_words(void);
void attack_viewer(void);
void attack_viewers_hold(void);
void attack_operator(void);

/* network.c: who is not let in */
void attack_crafted_names(void);
void attack_other_certificates(void);
void attack_other_tls(void);
void attack_revoked(void);
void attack_no_agent(void);
void attack_slow_loris(void);

/* texts.c: what people are shown */
void attack_texts_of_clients(void);
void attack_texts_of_guests(void);
void attack_texts_of_certificates(void);

#endif
