/* Prints a C table of N hexagon cells: for each its column, its row and its distance from the middle. */
#include <stdio.h>
#include <stdlib.h>

static int distance(int column, int row)
{
	int a = abs(column), b = abs(row), c = abs(column + row);
	return (a > b ? (a > c ? a : c) : (b > c ? b : c));
}

int main(int argc, char **argv)
{
	int radius = argc > 1 ? atoi(argv[1]) : 0;
	if (radius < 1) {
		fputs("usage: hexgen RADIUS\n", stderr);
		return 2;
	}
	puts("const struct cell { int column, row, ring; } cells[] = {");
	for (int row = -radius; row <= radius; row++)
		for (int column = -radius; column <= radius; column++)
			if (distance(column, row) <= radius)
				printf("\t{ %d, %d, %d },\n", column, row, distance(column, row));
	puts("};");
	puts("const int cell_count = sizeof cells / sizeof cells[0];");
	return 0;
}
