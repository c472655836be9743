/* Draws the hive: one letter per cell, `a` in the middle, further out further down the alphabet. */
#include <comb.h>
#include <pollen-1/pollen.h>
#include <stdio.h>

#include "cells.h"

int main(void)
{
	char line[200];
	int row = cells[0].row;

	printf("%*s", row < 0 ? -row : row, "");
	for (int i = 0; i < cell_count; i++) {
		if (cells[i].row != row) {
			row = cells[i].row;
			printf("\n%*s", row < 0 ? -row : row, "");
		}
		printf("%c ", 'a' + cells[i].ring);
	}
	putchar('\n');
	snprintf(line, sizeof line, "%d cells, %d grains", cell_count, pollen_count(cell_count));
	comb_frame(stdout, line);
	return 0;
}
