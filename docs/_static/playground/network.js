// The notes' network: two inputs, a hidden layer of h tanh units, one sigmoid. A row of a matrix is
// one of the m examples, as everywhere in minifw. The symbols are those of docs/notes.md.
"use strict";

// Numbers in rows and columns; a vector, such as b1, is a matrix of one row.
class Matrix {
  constructor(rows, columns) {
    Object.assign(this, { rows, columns, values: new Float64Array(rows * columns) });
  }
  static from(lists) {
    const matrix = new Matrix(lists.length, lists[0].length);
    matrix.values.set(lists.flat());
    return matrix;
  }
  at(i, k) {
    return this.values[i * this.columns + k];
  }
  transpose() {
    const result = new Matrix(this.columns, this.rows);
    for (let i = 0; i < this.rows; i++)
      for (let k = 0; k < this.columns; k++) result.values[k * this.rows + i] = this.at(i, k);
    return result;
  }
  times(other) {
    const result = new Matrix(this.rows, other.columns);
    for (let i = 0; i < result.rows; i++)
      for (let k = 0; k < result.columns; k++) {
        let sum = 0;
        for (let j = 0; j < this.columns; j++) sum += this.at(i, j) * other.at(j, k);
        result.values[i * result.columns + k] = sum;
      }
    return result;
  }
  // f of each number, and of its partner in a matrix of the same shape, or in a row for all rows.
  each(f, other = this) {
    const result = new Matrix(this.rows, this.columns);
    for (let n = 0; n < this.values.length; n++)
      result.values[n] = f(this.values[n], other.values[n % other.values.length]);
    return result;
  }
  plus(row) {
    return this.each((a, b) => a + b, row);
  }
  columnSums() {
    return new Matrix(1, this.rows).each(() => 1).times(this);
  }
}

globalThis.network = (() => {
  // What the table says of each symbol.
  const formulas = {
    Z1: "X W1' + b1",
    A1: "tanh(Z1)",
    Z2: "A1 W2' + b2",
    A2: "sigmoid(Z2)",
    J: "-mean(Y * log A2 + (1 - Y) * log(1 - A2))",
    dZ2: "(A2 - Y) / 400",
    dW2: "dZ2' A1",
    db2: "column sums of dZ2",
    dA1: "dZ2 W2",
    dZ1: "dA1 * (1 - A1^2)",
    dW1: "dZ1' X",
    db1: "column sums of dZ1",
  };

  // The notes' start: small random weights, W1 drawn before W2, and biases of zero.
  function start(normals, h, scale) {
    const rows = Array.from({ length: h }, (_, i) => normals.slice(2 * i, 2 * i + 2));
    const scaled = (number) => scale * number;
    const W1 = Matrix.from(rows).each(scaled); // (h, 2)
    const b1 = new Matrix(1, h); // (h,)
    const W2 = Matrix.from([normals.slice(2 * h, 3 * h)]).each(scaled); // (1, h)
    const b2 = new Matrix(1, 1); // (1,)
    return { W1, b1, W2, b2 };
  }

  function forward({ W1, b1, W2, b2 }, X) {
    const Z1 = X.times(W1.transpose()).plus(b1); // (m, h)
    const A1 = Z1.each(Math.tanh); // (m, h)
    const Z2 = A1.times(W2.transpose()).plus(b2); // (m, 1)
    const A2 = Z2.each((z) => 1 / (1 + Math.exp(-z))); // (m, 1)
    return { Z1, A1, Z2, A2 };
  }

  // The formula of J, with A2 = sigmoid(Z2) put in, so that log(0) cannot come.
  function cost(Z2, Y) {
    const one = (z, y) => Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z)));
    return Z2.each(one, Y).columnSums().at(0, 0) / Y.rows; // a number
  }

  function backward({ W2 }, { A1, A2 }, X, Y) {
    const dZ2 = A2.each((a, y) => (a - y) / Y.rows, Y); // (m, 1)
    const dW2 = dZ2.transpose().times(A1); // (1, h)
    const db2 = dZ2.columnSums(); // (1,)
    const dA1 = dZ2.times(W2); // (m, h)
    const dZ1 = dA1.each((da, a) => da * (1 - a * a), A1); // (m, h)
    const dW1 = dZ1.transpose().times(X); // (h, 2)
    const db1 = dZ1.columnSums(); // (h,)
    return { dZ2, dW2, db2, dA1, dZ1, dW1, db1 };
  }

  // Every value of one step, by its symbol.
  function trace(parameters, X, Y) {
    const values = forward(parameters, X);
    const J = cost(values.Z2, Y);
    return { X, Y, ...parameters, ...values, J, ...backward(parameters, values, X, Y) };
  }

  // Gradient descent: each parameter theta becomes theta - lr dtheta.
  function step({ W1, b1, W2, b2, dW1, db1, dW2, db2 }, lr) {
    const less = (theta, dtheta) => theta - lr * dtheta;
    return {
      W1: W1.each(less, dW1),
      b1: b1.each(less, db1),
      W2: W2.each(less, dW2),
      b2: b2.each(less, db2),
    };
  }

  return { Matrix, formulas, start, forward, cost, backward, trace, step };
})();
