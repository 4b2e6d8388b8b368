# %% [markdown]
# Made from docs/learn/clinic.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # The clinic: ten networks that do not learn
#
# Each patient is a network whose backward is right, and which learns next to nothing. You are told what one sees from outside. Find the
# cause with instruments, and repair it with at most two changes. Time: two hours.
#
# All patients have the moons to learn: two half circles, 400 points. The best straight line reaches a loss of 0.26. **Each healthy network
# comes below 0.15.** The layers here are minifw's, because the instruments know them.

# %%
import warnings
import numpy as np

from minifw import (SGD, Adam, BatchNorm, BCELoss, Constant, CrossEntropyLoss, Dense, Normal,
    Objective, ReLU, Sequential, Sigmoid, Softmax, Tanh, Trainer, Watch, Zeros)

from minifw.datasets import moons
from minifw.lessons import ask
x, y = moons(rng=0)  # sorted: first all points of class 0
rng = np.random.default_rng(0)

def train(model, x=x, y=y, loss=BCELoss(), optimizer=Adam, lr=0.02,
          epochs=40, shuffle=True):
    optimizer = optimizer(model.parameters(), lr=lr)
    trainer = Trainer(model, loss, optimizer, callbacks=[Watch()], rng=rng)
    trainer.fit(x, y, epochs=epochs, batch_size=40, shuffle=shuffle)
    return model

def network(Activation=Tanh, init=None):
    return Sequential(Dense(2, 32, init=init, rng=rng), Activation(),
                      Dense(32, 1, init=init, rng=rng), Sigmoid())

# %% [markdown]
# ## The patients

# %%
def patient_1():  # the loss stays at 0.69
    hidden = [Dense(2, 8, rng=rng), Sigmoid()]
    for _ in range(9):
        hidden += [Dense(8, 8, rng=rng), Sigmoid()]
    momentum = lambda parameters, lr: SGD(parameters, lr=lr, momentum=0.9)
    return train(Sequential(*hidden, Dense(8, 1, rng=rng), Sigmoid()), optimizer=momentum)

def patient_2():  # after a bad beginning, all looks calm, and the loss is high
    model = train(network(ReLU), optimizer=SGD, lr=100, epochs=1)
    return train(model)

def patient_3():  # the loss begins above 10, and falls slowly
    return train(network(init=Normal(100)))

def patient_4():  # the loss stays at 0.693, from the first step to the last
    return train(network(init=Zeros()))

def patient_5():  # 0.26, although there are 32 units
    return train(network(init=Constant(0.5)))

def patient_6():  # 0.56; one column is in metres, the other in kilometres
    return train(network(), x * [1000, 1])

def patient_7():  # 0.26: it has learned no more than a line
    return train(network(), shuffle=False)

def patient_8():  # the loss falls by less than 0.001 an epoch
    return train(network(), lr=1e-6)

def patient_9():  # 0.26, although there are 32 units
    return train(Sequential(Dense(2, 32, rng=rng), Dense(32, 1, rng=rng), Sigmoid()))

def patient_10():  # two outputs, one for each class; the loss stays above 0.31
    model = Sequential(Dense(2, 32, rng=rng), Tanh(), Dense(32, 2, rng=rng), Softmax())
    return train(model, y=y.ravel().astype(int), loss=CrossEntropyLoss())

# %% [markdown]
# ## The instruments
#
# **Warnings.** `Trainer` looks for signs that a network does not learn, and `Watch` looks at the outputs of the layers. This function
# keeps what they say, and prints it on request.

# %%
def examine(patient, tell=False):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = patient()
    for message in dict.fromkeys(str(one.message) for one in told if tell):
        print(message)
    return model

# %% [markdown]
# **Gradients by layer.** Print the length of the gradient of each weight:

# %%
def lengths(model):
    objective = Objective(model, BCELoss())
    objective.forward(x, y)
    objective.backward()
    return [np.linalg.norm(layer.weight.grad) for layer in model if layer.parameters()]

sick = examine(patient_1)
first, *_, last = lengths(sick)

print(first < last / 1000)
#> True

# %% [markdown]
# The slope of the sigmoid is at most 1/4. Ten of them in a row make at most $1/4^{10}$, a millionth. So almost nothing reaches the first layer:
#
# **Rows of weights.** `model[0].weight.value` has one row for each unit. Look for equal rows, huge numbers, and zeros.
#
# **Outputs.** `model[:2].predict(x)` is what the hidden units give.
#
# **`ask`.** It takes the trained model. If the loss is too high, it tells the symptom that it sees:

# %%
ask("patient_1", sick)

# %% [markdown]
# Now repair the others. Change each function, and ask: `ask("patient_2", examine(patient_2))`. `hints=1` names an instrument, `hints=2` the cause.

# %%
ask("patient_2", examine(patient_2))
ask("patient_3", examine(patient_3))
ask("patient_4", examine(patient_4))
ask("patient_5", examine(patient_5))
ask("patient_6", examine(patient_6))
ask("patient_7", examine(patient_7))
ask("patient_8", examine(patient_8))
ask("patient_9", examine(patient_9))
ask("patient_10", examine(patient_10))

# %% [markdown]
# Next: ten classes.
