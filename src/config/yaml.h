/* YAML into values: the one adapter of libyaml. */
#ifndef XPM_CONFIG_YAML_H
#define XPM_CONFIG_YAML_H

#include "config/problems.h"
#include "config/value.h"

/* Reads one document by the 1.2 core schema into `st`, with anchors, aliases and merge keys resolved; *out is NULL
 * for a document with nothing in it. Keys are taken as their text. Problems are added with the place
 * `source`:line:col (for an override without line); reading goes on after those of meaning (duplicate keys, unknown
 * tags, integers past 64 bits) and ends at those of form. Returns 0, or the code of the last problem; *out is then
 * what could be read (null in the place of refused values), or NULL.
 *
 * Limits: XPM_CONFIG_DEPTH levels, XPM_CONFIG_COPIES values made by aliases; no NUL, UTF-8 only, one document. */
int xpm_yaml_read(struct xpm_value **out, struct xpm_store *st, uint32_t source, const char *text, size_t len,
                  struct xpm_problems *problems);

#endif
