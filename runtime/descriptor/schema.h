/*
 * The schema: one row a key. Private to runtime/descriptor: parse.c reads by it, effective.c prints
 * by it, and perron.yaml.5 is written after it.
 */
#ifndef PERRON_RUNTIME_DESCRIPTOR_SCHEMA_H
#define PERRON_RUNTIME_DESCRIPTOR_SCHEMA_H

#include <yaml.h>

#include "runtime/descriptor/descriptor.h"

struct perron_yaml; /* parse.c */

/*
 * A key's value is read by `nested` if it is a mapping or list of its own; else by `parse` if its
 * text is of a form of ours; else as its option's kind says, into a number of `size` bytes or a
 * text of that size.
 */
struct perron_schema_key {
	struct perron_option option; /* name NULL ends a table */
	size_t offset;
	size_t size;
	int (*nested)(struct perron_yaml *yaml, yaml_node_t *node, void *field);
	/* 0, -EINVAL or -ERANGE. option.help is what was expected. */
	int (*parse)(const char *text, void *field);
	void (*print)(const void *field, char *out, size_t out_size);
	bool list; /* a list of scalars may stand for the text with commas */
};

extern const struct perron_schema_key perron_schema_root[];
extern const struct perron_schema_key perron_schema_overlay[];
extern const struct perron_schema_key perron_schema_portal[];
extern const struct perron_schema_key perron_schema_station[];
extern const struct perron_schema_key perron_schema_port[];
extern const struct perron_schema_key perron_schema_impair[];
extern const struct perron_schema_key perron_schema_peer[];
extern const struct perron_schema_key perron_schema_sensor[];
extern const struct perron_schema_key perron_schema_limits[];
extern const struct perron_schema_key perron_schema_detector[];
extern const struct perron_schema_key perron_schema_link[];
extern const struct perron_schema_key perron_schema_group[];

/* The table of a section, by its name in the file. */
const struct perron_schema_key *perron_schema_section(const char *name);

/* The readers of what is nested (parse.c). */
int perron_schema_read_overlay(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_portal(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_station(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_port(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_ports(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_impair(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_peers(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_sensors(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_limits(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_detector(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_links(struct perron_yaml *yaml, yaml_node_t *node, void *field);
int perron_schema_read_group(struct perron_yaml *yaml, yaml_node_t *node, void *field);

/* Reads and writes a number of 1, 2, 4 or 8 bytes. */
void perron_schema_store(void *field, size_t size, int64_t number);
int64_t perron_schema_fetch(const void *field, size_t size);

/* What ties sections together (check.c). 0, or -EINVAL and an error. */
int perron_schema_check(const struct perron_descriptor *descriptor, char *error,
			size_t error_size) PERRON_MUST_USE;

#endif
